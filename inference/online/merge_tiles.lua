-- Merges tiles into the packed value of one entity: atomic, idempotent, in any order, bounded by retention.
-- Of a view with Lifetime features nothing is dropped here, since this script cannot merge what tiles hold: it says when tiles are due for the base.
-- KEYS[1] the entity's hash.
-- ARGV: 1 field of the packed tiles, 2 field of Feast's timestamp, 3 layout, 4 tile size (ms), 5 retention (ms),
--       6 time to live of the hash (ms, 0: none), 7 records as stored, sorted by start, no start twice,
--       8 how many tiles past retention are left for the base until it is worth while, 0: drop them,
--       9 how many more while tiles come again, 10 the revision from which on they do.
-- Returns 1 when tiles are due, else 0.
-- Numbers are doubles here: exact for times and revisions below 2^53.
local field, ts_field, layout = ARGV[1], ARGV[2], ARGV[3]
local tile_ms, retention_ms, ttl_ms, incoming = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local retire_at, held, held_from = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
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

local kept_from, newest_end, body = NOTHING_DROPPED, NOTHING_DROPPED, ''
local base = retire_at > 0 and '\0\0\0\0' or ''
local newest_revision = 0
local stored = redis.call('HGET', KEYS[1], field)
if stored and #stored > 0 then
  local begin = 2
  while string.byte(stored, begin) >= 128 do begin = begin + 1 end
  kept_from, newest_end = struct.unpack('<i8i8', stored, begin + 1)
  if string.sub(stored, begin + 17, begin + HEADER) == layout then
    local bytes = retire_at > 0 and 4 + struct.unpack('<I4', stored, begin + HEADER + 1) or 0
    if bytes > 4 then newest_revision = struct.unpack('<i8', stored, begin + HEADER + 6) end
    base, body = string.sub(stored, begin + HEADER + 1, begin + HEADER + bytes), string.sub(stored, begin + HEADER + bytes + 1)
  else
    kept_from = math.max(kept_from, newest_end) -- the definition has changed: older tiles mean something else
  end
end

local _, first = struct.unpack('<I4i8', incoming, 1)
if first >= newest_end then
  body = body .. incoming
else
  local function parse(body, starts, records, revisions)
    local offset = 1
    while offset <= #body do
      local length, start, revision = struct.unpack('<I4i8i8', body, offset)
      local known = revisions[start]
      if known == nil then starts[#starts + 1] = start end
      if known == nil or revision >= known then
        records[start], revisions[start] = string.sub(body, offset, offset + RECORD + length - 1), revision
      end
      offset = offset + RECORD + length
    end
  end
  local starts, records, revisions = {}, {}, {}
  parse(body, starts, records, revisions)
  parse(incoming, starts, records, revisions)
  table.sort(starts)
  for position, start in ipairs(starts) do starts[position] = records[start] end
  body = table.concat(starts)
end
local offset = 1
while offset <= #incoming do
  local length, start = struct.unpack('<I4i8', incoming, offset)
  newest_end = math.max(newest_end, start + tile_ms)
  offset = offset + RECORD + length
end

local oldest = math.max(newest_end - retention_ms, retire_at > 0 and kept_from or NOTHING_DROPPED)
local keep, past, strays = 1, 0, 0
while keep <= #body do
  local length, start, revision = struct.unpack('<I4i8i8', body, keep)
  if start >= oldest then break end
  if retire_at > 0 then
    past = past + 1
    if start < kept_from then strays = strays + 1 end
    newest_revision = math.max(newest_revision, revision)
  else
    kept_from = math.max(kept_from, start + tile_ms)
  end
  keep = keep + RECORD + length
end
local due = 0
if retire_at > 0 then
  keep = 1
  if strays > 0 or past >= retire_at + (newest_revision > held_from and held or 0) then due = 1 end
end

if keep > 1 then body = string.sub(body, keep) end
local value = '\10' .. varint(HEADER + #base + #body) .. struct.pack('<i8i8', kept_from, newest_end) .. layout .. base .. body
redis.call('HSET', KEYS[1], field, value, ts_field, timestamp(newest_end))
if ttl_ms > 0 then redis.call('PEXPIRE', KEYS[1], ttl_ms) end
return due
