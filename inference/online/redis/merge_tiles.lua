-- Merges tiles into the packed value of one entity: atomic, idempotent, in any order, bounded by retention.
-- A reader as of now needs the newest tiles only. So older ones leave for a value of their own, in steps: most merges rewrite a small value, and most reads take one.
-- Of a view with Lifetime features nothing leaves or is dropped, since this script cannot merge what tiles hold: it says when tiles are due for the base.
-- KEYS[1] the entity's hash.
-- ARGV: 1 field of the packed tiles, 2 its field of Feast's timestamp, 3 and 4 the same of the older tiles,
--       5 what is alike for all entities, as `_SETTINGS` in tile_merges.py packs it: layout; then, as i64, tile size (ms); retention (ms);
--         time to live of the hash (ms, 0: none); how far before the end of the newest tile all tiles stay together (ms);
--         the step in which older ones leave (ms, 0: never); how many tiles past retention are left for the base until it is worth while (0: drop them);
--         how many more while tiles come again; the revision from which on they do; 1 where the server may have removed the entity, so that nothing
--         is known of what was before the first tile of a new one,
--       6 records as stored, sorted by start, no start twice, 7 prefix of the keys of the view's account, as `marks.lua` has it.
-- Returns 1 when tiles are due, else 0.
-- Numbers are doubles here: exact for times and revisions below 2^53.
local field, ts_field, older_field, older_ts_field, incoming = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[6]
local layout, tile_ms, retention_ms, ttl_ms, together_ms, step_ms, retire_at, held, held_from, forgets = struct.unpack('<c8i8i8i8i8i8i8i8i8i8', ARGV[5])
local NOTHING_DROPPED = -2 ^ 63
local HEADER, RECORD = 24, 20

local char, floor = string.char, math.floor

local function varint(number)
  if number >= 0 and number < 2 ^ 7 then return char(number) end
  if number >= 2 ^ 7 and number < 2 ^ 14 then return char(number % 128 + 128, floor(number / 128)) end
  if number >= 2 ^ 28 and number < 2 ^ 35 then -- the seconds of all years from 1978 to 3058
    return char(
      number % 128 + 128,
      floor(number / 2 ^ 7) % 128 + 128,
      floor(number / 2 ^ 14) % 128 + 128,
      floor(number / 2 ^ 21) % 128 + 128,
      floor(number / 2 ^ 28)
    )
  end
  local bytes = {}
  for _ = 1, 9 do
    local low = number % 128
    number = (number - low) / 128
    if number == 0 then
      bytes[#bytes + 1] = char(low)
      return table.concat(bytes)
    end
    bytes[#bytes + 1] = char(low + 128)
  end
  return table.concat(bytes) .. '\1'
end

local function timestamp(ms)
  local seconds, nanos = floor(ms / 1000), (ms % 1000) * 1000000
  return (seconds ~= 0 and '\8' .. varint(seconds) or '') .. (nanos ~= 0 and '\16' .. varint(nanos) or '')
end

-- Kept-from, newest end, and where the header begins.
local function head(value)
  local begin = 2
  while string.byte(value, begin) >= 128 do begin = begin + 1 end
  local kept_from, newest_end = struct.unpack('<i8i8', value, begin + 1)
  return kept_from, newest_end, begin
end

-- Records in order of their start; of two with one start the one with the higher revision stays, of one revision the incoming.
local function merged(body, incoming)
  local starts, records, revisions = {}, {}, {}
  for _, data in ipairs({ body, incoming }) do
    local offset = 1
    while offset <= #data do
      local length, start, revision = struct.unpack('<I4i8i8', data, offset)
      local known = revisions[start]
      if known == nil then starts[#starts + 1] = start end
      if known == nil or revision >= known then
        records[start], revisions[start] = string.sub(data, offset, offset + RECORD + length - 1), revision
      end
      offset = offset + RECORD + length
    end
  end
  table.sort(starts)
  for position, start in ipairs(starts) do starts[position] = records[start] end
  return table.concat(starts)
end

-- Where the records begin that start at a time or later, and where the last tile before them ends.
local function from(body, time)
  local offset, before_end = 1, NOTHING_DROPPED
  while offset <= #body do
    local length, start = struct.unpack('<I4i8', body, offset)
    if start >= time then break end
    offset, before_end = offset + RECORD + length, start + tile_ms
  end
  return offset, before_end
end

local function put(field, ts_field, kept_from, newest_end, rest)
  local value = '\10' .. varint(HEADER + #rest) .. struct.pack('<i8i8', kept_from, newest_end) .. layout .. rest
  redis.call('HSET', KEYS[1], field, value, ts_field, timestamp(newest_end))
end

local kept_from, newest_end, body = NOTHING_DROPPED, NOTHING_DROPPED, ''
local base = retire_at > 0 and '\0\0\0\0' or ''
local newest_revision = 0
local stored = redis.call('HGET', KEYS[1], field)
if stored and #stored > 0 then
  local begin
  kept_from, newest_end, begin = head(stored)
  if string.sub(stored, begin + 17, begin + HEADER) == layout then
    local bytes = retire_at > 0 and 4 + struct.unpack('<I4', stored, begin + HEADER + 1) or 0
    if bytes > 4 then newest_revision = struct.unpack('<i8', stored, begin + HEADER + 6) end
    base, body = string.sub(stored, begin + HEADER + 1, begin + HEADER + bytes), string.sub(stored, begin + HEADER + bytes + 1)
  else
    kept_from = math.max(kept_from, newest_end) -- the definition has changed: older tiles mean something else
  end
end

local known_end = newest_end
local _, first = struct.unpack('<I4i8', incoming, 1)
body = first >= newest_end and body .. incoming or merged(body, incoming)
local _, incoming_end = from(incoming, math.huge)
newest_end = math.max(newest_end, incoming_end)
if forgets == 1 and not stored then -- it may have been here: with any tile that is accounted for, or waits to be
  kept_from = math.max(incoming_end, tonumber(redis.call('GET', ARGV[7] .. 'frontier') or kept_from), tonumber(redis.call('ZRANGE', ARGV[7] .. 'pending', -1, -1)[1] or kept_from))
end

local due = 0
if retire_at > 0 then
  local oldest = math.max(newest_end - retention_ms, kept_from)
  local offset, past, strays = 1, 0, 0
  while offset <= #body do
    local length, start, revision = struct.unpack('<I4i8i8', body, offset)
    if start >= oldest then break end
    past = past + 1
    if start < kept_from then strays = strays + 1 end
    newest_revision = math.max(newest_revision, revision)
    offset = offset + RECORD + length
  end
  if strays > 0 or past >= retire_at + (newest_revision > held_from and held or 0) then due = 1 end
elseif step_ms == 0 then
  local keep, dropped_end = from(body, newest_end - retention_ms)
  kept_from = math.max(kept_from, dropped_end)
  body = string.sub(body, keep)
else
  -- Whole steps, so that what is where depends on the tiles alone and not on the order in which they came.
  local function recent_from(time) return math.floor((time - together_ms) / step_ms) * step_ms end
  local boundary = recent_from(newest_end)
  if first < math.max(boundary, kept_from) or boundary > recent_from(known_end) then
    local older, lost, older_end, begin = redis.call('HGET', KEYS[1], older_field), kept_from, NOTHING_DROPPED, nil
    if older and #older > 0 then
      lost, older_end, begin = head(older)
      older = string.sub(older, begin + HEADER + 1)
      if older_end < kept_from then lost, older = kept_from, '' end -- tiles between the two were dropped: under another slack or definition
    else
      older = ''
    end
    local keep, moved_end = from(body, math.max(boundary, older_end))
    if keep > 1 then
      local moved = string.sub(body, 1, keep - 1)
      local _, moved_from = struct.unpack('<I4i8', moved, 1)
      older = moved_from >= older_end and older .. moved or merged(older, moved)
      body, kept_from = string.sub(body, keep), math.max(kept_from, moved_end)
    end
    local kept, dropped_end = from(older, boundary + together_ms - retention_ms)
    if keep > 1 or kept > 1 then
      put(older_field, older_ts_field, math.max(lost, dropped_end), kept_from, string.sub(older, kept))
    end
  end
end

put(field, ts_field, kept_from, newest_end, base .. body)
if ttl_ms > 0 then redis.call('PEXPIRE', KEYS[1], ttl_ms) end
return due
