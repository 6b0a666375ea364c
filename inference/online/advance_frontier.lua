-- Accounts for the tiles of one view and advances its frontier over closings, in order.
-- KEYS: 1 frontier, 2 closings (sorted set of tile ends), 3 how many tiles each closing announced (hash), 4 tile ends that have a pending set (sorted set),
--       5 prefix of the pending sets.
-- ARGV: 1 tile end (ms), 2 tiles announced by its closing or -1, 3... entity keys whose tile is stored.
-- A tile end at or before the frontier is settled: what is said about it again, after a restart, changes nothing, and nothing is pending there.
local tile_end, tiles = tonumber(ARGV[1]), tonumber(ARGV[2])
local frontier = tonumber(redis.call('GET', KEYS[1]) or '-inf')

if tile_end > frontier then
  local pending = KEYS[5] .. ARGV[1]
  for first = 3, #ARGV, 1000 do
    redis.call('SADD', pending, unpack(ARGV, first, math.min(first + 999, #ARGV)))
  end
  if #ARGV >= 3 then redis.call('ZADD', KEYS[4], tile_end, ARGV[1]) end
  if tiles >= 0 then
    redis.call('ZADD', KEYS[2], tile_end, ARGV[1])
    redis.call('HSET', KEYS[3], ARGV[1], tiles)
  end
end

while true do
  local closing = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
  if not closing then break end
  if redis.call('SCARD', KEYS[5] .. closing) < tonumber(redis.call('HGET', KEYS[3], closing)) then break end
  frontier = tonumber(closing)
  redis.call('SET', KEYS[1], closing)
  redis.call('ZREM', KEYS[2], closing)
  redis.call('HDEL', KEYS[3], closing)
end
for _, settled in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', frontier)) do
  redis.call('DEL', KEYS[5] .. settled)
  redis.call('ZREM', KEYS[4], settled)
end
return redis.call('GET', KEYS[1])
