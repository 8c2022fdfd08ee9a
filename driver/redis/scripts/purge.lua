-- purge: removes the jobs that wait in one place, step by step.
-- ARGV   1: the place: 6 behind, 1 to 5 and 16 to 20 the streams; 2: how far to go: empty at first,
--        then what the step before replied; 3: how many jobs to look at
-- reply  how many were removed; how far to go, or empty at the end of the place
-- cost   O(jobs looked at and their fields), at most BYTES bytes and one job; + O(log
--        behind) in a group
-- twice  does not find what the first run removed
--
-- In a stream it goes up to the last entry there was when this place was begun. Of
-- behind it removes as many as there were. So producers cannot keep it busy for ever.
-- Behind comes first: what would follow a removed job of its group is gone then.
if missing() then return redis.error_reply(NOQUEUE) end
local place, bound, count = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local removed, bytes = 0, 0

if place == 6 then
  local left = bound == '' and call('ZCARD', BEHIND) or tonumber(bound)
  if left == 0 then return { 0, '' } end
  local members = call('ZRANGE', BEHIND, 0, math.min(count, left) - 1)
  local seen = 0
  while seen < #members and bytes < BYTES do
    seen = seen + 1
    local member = string.match(members[seen], ' (%S+)$')
    local packed = call('HGET', BODIES, member)
    if packed then
      local ok, fields = pcall(cmsgpack.unpack, packed)
      bytes = bytes + #packed
      if ok and type(fields) == 'table' then free(fields) end
      call('HDEL', BODIES, member)
      removed = removed + 1
    end
  end
  if seen > 0 then call('ZREM', BEHIND, unpack(members, 1, seen)) end
  if seen == #members and seen < count then return { removed, '' } end
  return { removed, digits(left - seen) }
end

local key = KEYS[place]
if bound == '' then
  local newest = call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
  if not newest then return { 0, '' } end
  bound = newest[1]
end
local info = group(key)
local from = info and info['last-delivered-id'] or '0-0'
if not after(bound, from) then return { 0, '' } end
local entries, more = range(key, '(' .. from, bound, count)
for i = 1, #entries do
  local id, fields = entries[i][1], entries[i][2]
  free(fields)
  call('XDEL', key, id)
  left(get(fields, 'grp'), place .. ' ' .. id)
  removed = removed + 1
end
return { removed, more and bound or '' }
