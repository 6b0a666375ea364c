-- What a generation of the store knows of itself: its marks, the accounts that move the frontiers of its views, and what readers see of both.
-- One script, so that no mark claims more than lies beside it: what a batch has written counts only if the store is still the one that it was written to.
-- KEYS: 1 the marks (hash), 2 the hash of Feast's dummy entity, where frontiers and `since` are published, 3 the hash of what is served. Both say which
-- incarnation it is, so that who reads the one first and the other last knows that nothing between was lost.
-- ARGV: 1 what to do, 2 prefix of the keys of the accounts, then its own.
--
-- Marks: incarnation; forgets, where the server may evict keys; server, that was written to last; at:<place>, the offset up to which all records of a partition are accounted for; lost:<place>,
-- up to which they are known to be lost; suspect:<place>, whose records may be, since the server is another, and suspects, how many those are.
-- Of a view: since:, absent for the beginning, `never` until a tile is known to be whole again; floor:, up to which closings count nothing;
-- doubt:, how far past `since` the frontier has to come until closings wait for their tiles for ever again; fields:, where `since` is published.
--
-- The account of a view, `<prefix>{<view>}:`: frontier; closings (sorted set of tile ends); announced (how many tiles each closing has, hash);
-- pending (tile ends that have a pending set, sorted set); pending:<tile end> (set of the entities whose tile is stored).
local marks, published, serving = KEYS[1], KEYS[2], KEYS[3]
local prefix = ARGV[2]
local NEVER = 'never'
local NEVER_VALUE = '\32' .. string.rep('\255', 8) .. '\127' -- a ValueProto of the largest int64
local floor = math.floor

local cursor = 3
local function take()
  cursor = cursor + 1
  return ARGV[cursor - 1]
end
local function number() return tonumber(take()) end

-- Which server this is, which history of writes it has, and how many keys it has evicted: all three stay while nothing can have been lost unseen.
-- Where keys may be evicted, and readers know it, their number does not count.
local function server()
  local function of(section, pattern) return string.match(redis.call('INFO', section), pattern) or '' end
  local evicted = redis.call('HEXISTS', marks, 'forgets') == 1 and '0' or of('stats', 'evicted_keys:(%d+)')
  return of('server', 'run_id:(%w+)') .. ' ' .. of('replication', 'master_replid:(%w+)') .. ' ' .. evicted
end

local function varint(value) -- as protobuf writes an int64
  local negative = value < 0
  local rest, bytes = negative and -value - 1 or value, {}
  for place = 1, 10 do
    local low = rest % 128
    rest = floor(rest / 128)
    if negative then low = 127 - low end
    if place == 10 then low = 1 end
    if place == 10 or (rest == 0 and not negative) then
      bytes[place] = string.char(low)
      return table.concat(bytes)
    end
    bytes[place] = string.char(low + 128)
  end
end

local function timestamp(ms)
  local seconds, nanos = floor(ms / 1000), (ms % 1000) * 1000000
  return (seconds ~= 0 and '\8' .. varint(seconds) or '') .. (nanos ~= 0 and '\16' .. varint(nanos) or '')
end

local function suspects() return tonumber(redis.call('HGET', marks, 'suspects') or 0) end

local function publish_since(fields, since, suspected)
  local field, ts_field = string.sub(fields, 1, 4), string.sub(fields, 5)
  if suspected or since == NEVER then
    redis.call('HSET', published, field, NEVER_VALUE, ts_field, '')
  elseif since then
    redis.call('HSET', published, field, '\32' .. varint(tonumber(since)), ts_field, timestamp(tonumber(since)))
  else
    redis.call('HDEL', published, field, ts_field)
  end
end

local function publish_all()
  local suspected, all = suspects() > 0, redis.call('HGETALL', marks)
  for position = 1, #all, 2 do
    local view = string.match(all[position], '^fields:(.*)$')
    if view then publish_since(all[position + 1], redis.call('HGET', marks, 'since:' .. view), suspected) end
  end
end

-- Settles closings in order, each when the tiles that it announced are stored.
local function advance(view, tile_ms, frontier)
  local tag = prefix .. '{' .. view .. '}:'
  local closings, announced, ends, pending = tag .. 'closings', tag .. 'announced', tag .. 'pending', tag .. 'pending:'
  local known = redis.call('HMGET', marks, 'since:' .. view, 'floor:' .. view, 'doubt:' .. view)
  local since, lost, doubt = known[1], tonumber(known[2] or '-inf'), tonumber(known[3] or nil)

  local function whole(closing) return redis.call('SCARD', pending .. closing) >= tonumber(redis.call('HGET', announced, closing)) end
  local function settle(closing)
    frontier = tonumber(closing)
    redis.call('SET', tag .. 'frontier', closing)
    redis.call('ZREM', closings, closing)
    redis.call('HDEL', announced, closing)
  end
  -- What waits a whole span for a tile that is lost waits in vain, and the next tile that is whole begins what is known.
  local function give_up(stuck)
    local later = redis.call('ZRANGEBYSCORE', closings, stuck + doubt, '+inf', 'LIMIT', 0, 1)[1]
    if not later or not whole(later) then return false end
    for _, closing in ipairs(redis.call('ZRANGE', closings, 0, -1)) do
      if whole(closing) then
        since = string.format('%.0f', tonumber(closing) - tile_ms)
        return true
      end
      settle(closing)
    end
  end

  while true do
    local closing = redis.call('ZRANGE', closings, 0, 0)[1]
    if not closing then break end
    if tonumber(closing) <= lost then
      settle(closing)
    elseif whole(closing) then
      if since == NEVER then since = string.format('%.0f', tonumber(closing) - tile_ms) end
      settle(closing)
    elseif not (doubt and give_up(tonumber(closing))) then
      break
    end
  end
  for _, settled in ipairs(redis.call('ZRANGEBYSCORE', ends, '-inf', frontier)) do
    redis.call('DEL', pending .. settled)
    redis.call('ZREM', ends, settled)
  end
  if since ~= known[1] then redis.call('HSET', marks, 'since:' .. view, since) end
  if doubt and since ~= NEVER and frontier >= tonumber(since) + doubt then redis.call('HDEL', marks, 'doubt:' .. view, 'floor:' .. view) end
  return since
end

local function account_view()
  local view, tile_ms, field, ts_field, fields = take(), number(), take(), take(), take()
  local tag = prefix .. '{' .. view .. '}:'
  local frontier = tonumber(redis.call('GET', tag .. 'frontier') or '-inf')
  for _ = 1, number() do
    local tile_end, tiles, first = take(), number(), nil
    local members = number()
    first, cursor = cursor, cursor + members
    -- At or before the frontier all is settled: what is said about it again, after a restart, changes nothing, and nothing is pending there.
    if tonumber(tile_end) > frontier then
      for part = first, cursor - 1, 1000 do
        redis.call('SADD', tag .. 'pending:' .. tile_end, unpack(ARGV, part, math.min(part + 999, cursor - 1)))
      end
      if members > 0 then redis.call('ZADD', tag .. 'pending', tile_end, tile_end) end
      if tiles >= 0 then
        redis.call('ZADD', tag .. 'closings', tile_end, tile_end)
        redis.call('HSET', tag .. 'announced', tile_end, tiles)
      end
    end
  end
  local since = advance(view, tile_ms, frontier)
  local reached = redis.call('GET', tag .. 'frontier')
  if reached then
    local plain = 'ms:' .. ts_field
    local known = redis.call('HGET', published, plain)
    if not known or tonumber(known) < tonumber(reached) then -- never back
      local ms = tonumber(reached)
      redis.call('HSET', published, plain, reached, field, '\32' .. varint(ms), ts_field, timestamp(ms))
    end
  end
  redis.call('HSETNX', marks, 'fields:' .. view, fields)
  publish_since(fields, since, suspects() > 0)
  return reached or ''
end

local tasks = {}

-- Places → incarnation, the server as it is and as it was, forgets, and of each place at and lost.
function tasks.open()
  local known = redis.call('HMGET', marks, 'incarnation', 'server', 'forgets')
  local reply = { known[1] or '', server(), known[2] or '', known[3] or '' }
  for position = 3, #ARGV do
    for _, value in ipairs(redis.call('HMGET', marks, 'at:' .. ARGV[position], 'lost:' .. ARGV[position])) do
      reply[#reply + 1] = value or ''
    end
  end
  return reply
end

-- What a batch has written: incarnation and server that it was written to; places with their new offsets; views with closings and stored tiles.
-- Answers the views' frontiers, or nothing where the store is no longer that one.
function tasks.account()
  if take() ~= (redis.call('HGET', marks, 'incarnation') or '') or take() ~= server() then return false end
  local proven = false
  for _ = 1, number() do
    local place, offset = take(), number()
    if offset > tonumber(redis.call('HGET', marks, 'at:' .. place) or -1) then redis.call('HSET', marks, 'at:' .. place, offset) end
    redis.call('HDEL', marks, 'lost:' .. place)
    if redis.call('HDEL', marks, 'suspect:' .. place) == 1 then
      proven = redis.call('HINCRBY', marks, 'suspects', -1) == 0 or proven
    end
  end
  if proven then publish_all() end
  local reached = {}
  for position = 1, number() do reached[position] = account_view() end
  return reached
end

-- A store that begins, or begins anew: the incarnation that it was, and is; the fields for readers; places with the offsets up to which their records are lost;
-- views with fields, span and floor; of a view whose floor is given nothing is known, of one without all is. Answers 1, or 0 where somebody else was faster.
function tasks.begin()
  if take() ~= (redis.call('HGET', marks, 'incarnation') or '') then return 0 end
  local incarnation = take()
  redis.call('HSET', marks, 'incarnation', incarnation, 'server', server())
  redis.call('HSET', published, take(), incarnation)
  redis.call('HSET', serving, take(), incarnation)
  for _ = 1, number() do
    local place, offset = take(), take()
    redis.call('HSET', marks, 'lost:' .. place, offset)
    redis.call('HDEL', marks, 'suspect:' .. place)
  end
  redis.call('HSET', marks, 'suspects', 0)
  for _ = 1, number() do
    local view, fields, span, lost = take(), take(), take(), take()
    redis.call('HSET', marks, 'fields:' .. view, fields)
    if lost ~= '' then redis.call('HSET', marks, 'since:' .. view, NEVER, 'floor:' .. view, lost, 'doubt:' .. view, span) end
  end
  publish_all()
  return 1
end

-- The server is another: the incarnation, the server as it was; places whose records it may lack. Answers 1, or 0 where somebody else was faster.
function tasks.suspect()
  if take() ~= (redis.call('HGET', marks, 'incarnation') or '') or take() ~= (redis.call('HGET', marks, 'server') or '') then return 0 end
  local all, count = redis.call('HKEYS', marks), #ARGV - cursor + 1
  for _, name in ipairs(all) do
    if string.sub(name, 1, 8) == 'suspect:' then redis.call('HDEL', marks, name) end
  end
  for _ = 1, count do redis.call('HSET', marks, 'suspect:' .. take(), 1) end
  redis.call('HSET', marks, 'suspects', count, 'server', server())
  publish_all()
  return 1
end

-- Whether the server may evict keys (1 or nothing), for readers too: 3 the field.
function tasks.forget()
  local field, forgets = take(), take()
  for key, name in pairs({ [marks] = 'forgets', [published] = field }) do
    if forgets == '1' then redis.call('HSET', key, name, 1) else redis.call('HDEL', key, name) end
  end
  return 1
end

-- Views that lack nothing any more.
function tasks.complete()
  for position = 3, #ARGV do
    local view = ARGV[position]
    redis.call('HDEL', marks, 'since:' .. view, 'floor:' .. view, 'doubt:' .. view)
  end
  publish_all()
  return 1
end

return tasks[ARGV[1]]()
