-- Publishes a frontier where Feast reads it; never back.
-- KEYS[1] the hash of Feast's dummy entity. ARGV: 1 field, 2 field of Feast's timestamp, 3 frontier (ms), 4 its ValueProto, 5 its Timestamp.
local plain = 'ms:' .. ARGV[2]
local known = redis.call('HGET', KEYS[1], plain)
if known and tonumber(known) >= tonumber(ARGV[3]) then return 0 end
redis.call('HSET', KEYS[1], plain, ARGV[3], ARGV[1], ARGV[4], ARGV[2], ARGV[5])
return 1
