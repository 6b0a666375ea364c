-- Puts a packed value in the place of the one that it was made of, unless that has changed meanwhile.
-- KEYS[1] the entity's hash. ARGV: 1 field, 2 sha1 (hex) of what is there, 3 what is to be there. Returns 1 when done, else 0.
local stored = redis.call('HGET', KEYS[1], ARGV[1])
if not stored or redis.sha1hex(stored) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
