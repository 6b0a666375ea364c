-- Merges tiles into the packed values of entities (`packed_tiles.lua` is run ahead of it): idempotent, in any order, bounded by retention, each entity at once.
-- A reader as of now needs the newest tiles only. So older ones leave for a value of their own, in steps: most merges rewrite a small value, and most reads take one.
-- Of a view with Lifetime features or several levels nothing leaves or is dropped, since this script cannot merge what tiles hold: it says when tiles are due
-- for the base or the larger levels.
-- KEYS the entities' hashes.
-- ARGV: 1 field of the packed tiles, 2 its field of Feast's timestamp, 3 and 4 the same of the older tiles,
--       5 numbers, as `_SETTINGS` in tile_merges.py packs them: layout; then, as i64, tile size (ms); retention (ms);
--         time to live of a hash (ms, 0: none); how far before the end of the newest tile all tiles stay together (ms);
--         the step in which older ones leave (ms, 0: never); how many tiles past retention are left for the base until it is worth while (0: drop them);
--         how many more while tiles come again; the revision from which on they do; the size of the first larger level (ms, 0: there is none);
--         1 where the server may have removed an entity, so that nothing is known of what was before the first tile of a new one,
--       6 prefix of the keys of the view's account, as `marks.lua` has it,
--       7 and on, for each entity: records as stored, sorted by start, no start twice.
-- Returns which of KEYS have tiles that are due, counted from 0.
-- Numbers are doubles here: exact for times and revisions below 2^53.
local field, ts_field, older_field, older_ts_field, account = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[6]
local layout, tile_ms, retention_ms, ttl_ms, together_ms, step_ms, retire_at, held, held_from, level_ms, forgets = struct.unpack('<c8i8i8i8i8i8i8i8i8i8i8', ARGV[5])

-- Whether tiles of it are due.
local function merge(key, incoming)
  local kept_from, newest_end, body = NOTHING_DROPPED, NOTHING_DROPPED, ''
  local base = retire_at > 0 and '\0\0\0\0' or ''
  local newest_revision = 0
  local stored = redis.call('HGET', key, field)
  if stored and #stored > 0 then
    local begin
    kept_from, newest_end, begin = head(stored)
    if string.sub(stored, begin + 17, begin + HEADER) == layout then
      local bytes = retire_at > 0 and 4 + struct.unpack('<I4', stored, begin + HEADER + 1) or 0
      if bytes > 4 and level_ms == 0 then newest_revision = struct.unpack('<i8', stored, begin + HEADER + 6) end
      base, body = string.sub(stored, begin + HEADER + 1, begin + HEADER + bytes), string.sub(stored, begin + HEADER + bytes + 1)
    else
      kept_from = math.max(kept_from, newest_end) -- the definition has changed: older tiles mean something else
    end
  end

  local known_end = newest_end
  local _, first = struct.unpack('<I4i8', incoming, 1)
  body = first >= newest_end and body .. incoming or merged(body, incoming)
  local _, incoming_last = from(incoming, math.huge)
  local incoming_end = incoming_last + tile_ms
  newest_end = math.max(newest_end, incoming_end)
  if forgets == 1 and not stored then -- it may have been here: with any tile that is accounted for, or waits to be
    kept_from = math.max(incoming_end, tonumber(redis.call('GET', account .. 'frontier') or kept_from), tonumber(redis.call('ZRANGE', account .. 'pending', -1, -1)[1] or kept_from))
  end

  local due = false
  if level_ms > 0 then
    -- Closed intervals are merged once they have enough tiles; what comes into one that is merged, at once.
    local merged_to = NOTHING_DROPPED
    if #base > 4 then
      local dirty_from
      merged_to, dirty_from = struct.unpack('<i8i8', base, 5)
      if first < math.min(merged_to, dirty_from) then base = string.sub(base, 1, 12) .. struct.pack('<i8', first) .. string.sub(base, 21) end
    end
    local closed = floor(newest_end / level_ms) * level_ms
    if first < merged_to then
      due = true
    elseif closed > floor(known_end / level_ms) * level_ms then
      local offset, count = 1, 0
      while offset <= #body and count < retire_at do
        local length, start = struct.unpack('<I4i8', body, offset)
        if start >= closed then break end
        if start >= merged_to then count = count + 1 end
        offset = offset + RECORD + length
      end
      if count >= retire_at then due = true end
    end
  elseif retire_at > 0 then
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
    if strays > 0 or past >= retire_at + (newest_revision > held_from and held or 0) then due = true end
  elseif step_ms == 0 then
    local keep, dropped = from(body, newest_end - retention_ms)
    if keep > 1 then kept_from, body = math.max(kept_from, dropped + tile_ms), string.sub(body, keep) end
  else
    -- Whole steps, so that what is where depends on the tiles alone and not on the order in which they came.
    local function recent_from(time) return math.floor((time - together_ms) / step_ms) * step_ms end
    local boundary = recent_from(newest_end)
    if first < math.max(boundary, kept_from) or boundary > recent_from(known_end) then
      local older, lost, older_end, begin = redis.call('HGET', key, older_field), kept_from, NOTHING_DROPPED, nil
      if older and #older > 0 then
        lost, older_end, begin = head(older)
        older = string.sub(older, begin + HEADER + 1)
        if older_end < kept_from then lost, older = kept_from, '' end -- tiles between the two were dropped: under another slack or definition
      else
        older = ''
      end
      local keep, moved_last = from(body, math.max(boundary, older_end))
      if keep > 1 then
        local moved = string.sub(body, 1, keep - 1)
        local _, moved_from = struct.unpack('<I4i8', moved, 1)
        older = moved_from >= older_end and older .. moved or merged(older, moved)
        body, kept_from = string.sub(body, keep), math.max(kept_from, moved_last + tile_ms)
      end
      local kept, dropped = from(older, boundary + together_ms - retention_ms)
      if keep > 1 or kept > 1 then
        if kept > 1 then lost = math.max(lost, dropped + tile_ms) end
        put(key, layout, older_field, older_ts_field, lost, kept_from, string.sub(older, kept))
      end
    end
  end

  put(key, layout, field, ts_field, kept_from, newest_end, base .. body)
  if ttl_ms > 0 then redis.call('PEXPIRE', key, ttl_ms) end
  return due
end

local due = {}
for position, key in ipairs(KEYS) do
  if merge(key, ARGV[6 + position]) then due[#due + 1] = position - 1 end
end
return due
