-- Puts a packed value in the place of the one that it was made of (`packed_tiles.lua` is run ahead of it), unless that has changed meanwhile; tiles that leave it go to the older ones, in the same step.
-- KEYS[1] the entity's hash. ARGV: 1 field of the packed tiles, 2 its field of Feast's timestamp, 3 and 4 the same of the older tiles, 5 sha1 (hex) of what is
-- there, 6 what is to be there, and, of a view with a block whose older tiles are kept: 7 records that leave, by start, 8 older tiles that start before are dropped,
-- 9 whether some were on the way (1 or 0). Returns 1 when done, else 0.
local field, older_field, older_ts_field, version, value, leaving, from_ms = ARGV[1], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], tonumber(ARGV[8])
local stored = redis.call('HGET', KEYS[1], field)
if not stored or redis.sha1hex(stored) ~= version then return 0 end
redis.call('HSET', KEYS[1], field, value)
if not leaving then return 1 end

local kept_from = head(value)
local lost, _, begin = head(stored)
if leaving == '' and kept_from == lost and ARGV[9] == '0' then return 1 end
local layout, older = string.sub(stored, begin + 17, begin + HEADER), redis.call('HGET', KEYS[1], older_field)
local body, older_end = '', NOTHING_DROPPED
if older and #older > 0 then
  local its_lost, its_end, its_begin = head(older)
  -- Of another definition, or with a gap between the two: tiles were dropped there.
  if string.sub(older, its_begin + 17, its_begin + HEADER) == layout and its_end >= lost then
    lost, older_end, body = its_lost, its_end, string.sub(older, its_begin + HEADER + 5)
  end
end
if leaving ~= '' then
  local _, first = struct.unpack('<I4i8', leaving, 1)
  body = first >= older_end and body .. leaving or merged(body, leaving)
end
local offset = from(body, from_ms)
put(KEYS[1], layout, older_field, older_ts_field, (offset > 1 or ARGV[9] == '1') and math.max(lost, from_ms) or lost, kept_from, '\0\0\0\0' .. string.sub(body, offset))
return 1
