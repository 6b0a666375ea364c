-- Puts a record of what is served in force; never an older one over a newer.
-- KEYS[1] where it is. ARGV: 1 its field, 2 the record, 3 its number.
local number = redis.call('HGET', KEYS[1], 'number')
if number and tonumber(number) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], 'number', ARGV[3], ARGV[1], ARGV[2])
return 1
