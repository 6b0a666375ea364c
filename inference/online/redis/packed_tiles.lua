-- What the scripts that change packed tiles have in common: see features/tiles/codec.py.
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

-- Where the records begin that start at a time or later, and when the last one before them starts.
local function from(body, time)
  local offset, before = 1, NOTHING_DROPPED
  while offset <= #body do
    local length, start = struct.unpack('<I4i8', body, offset)
    if start >= time then break end
    offset, before = offset + RECORD + length, start
  end
  return offset, before
end

local function put(key, layout, field, ts_field, kept_from, newest_end, rest)
  local value = '\10' .. varint(HEADER + #rest) .. struct.pack('<i8i8', kept_from, newest_end) .. layout .. rest
  redis.call('HSET', key, field, value, ts_field, timestamp(newest_end))
end
