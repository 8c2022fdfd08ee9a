-- inspect: reads one place of a queue step by step, and finds or deletes a job.
-- ARGV   1: the place: 1 to 5 and 16 to 20 the streams, 6
--        behind, 7 due, 8 dead; 2: the cursor
--        or empty; 3: how many entries to look at; 4: list, find or delete; 5:
--        the job's ID for find and delete
-- reply  the next cursor, or empty at the end of the place; then entries: of each
--        its own cursor, its fields, and in due the time in ms
-- cost   O(entries looked at and their fields), at most BYTES bytes and one job, +
--        O(log size); in due O(log² size) if the entry at the cursor is gone
-- twice  reads again; does not find a job that was deleted
--
-- A waiting job is one after the last that was handed out. Deleting checks that in
-- the same step, so a running job is never taken from its holder. It frees the job's
-- dedup key.
if missing() then return redis.error_reply(NOQUEUE) end
local place, cursor, count, mode, job = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local found = {} -- of cursor, fields, due
local next = ''
local bytes = 0

local function body(member)
  local packed = call('HGET', BODIES, member)
  if not packed then return nil end
  bytes = bytes + #packed
  local ok, fields = pcall(cmsgpack.unpack, packed)
  return ok and type(fields) == 'table' and fields or nil
end

local stream = place <= 5 or place > BACK
if stream or place == 8 then
  local key, from = DEAD, cursor == '' and '0-0' or cursor
  if stream then
    key = KEYS[place]
    local info = group(key)
    if info and after(info['last-delivered-id'], from) then from = info['last-delivered-id'] end
  end
  local more
  found, more = range(key, '(' .. from, '+', count)
  next = more or ''
elseif place == 6 then
  local members = call('ZRANGEBYLEX', BEHIND, cursor == '' and '-' or '(' .. cursor, '+', 'LIMIT', 0, count)
  local seen = 0
  while seen < #members and bytes < BYTES do
    seen = seen + 1
    local fields = body(string.match(members[seen], ' (.+)$'))
    if fields then found[#found + 1] = { members[seen], fields } end
  end
  if seen == count or seen < #members then next = members[seen] end
else
  local rank = 0
  if cursor ~= '' then
    local score, member = string.match(cursor, '^(%d+) (.+)$')
    local is = call('ZSCORE', DUE, member)
    if is and tonumber(is) == tonumber(score) then
      rank = call('ZRANK', DUE, member) + 1
    else
      -- Those that are due in the same ms are in the order of their members.
      local past = call('ZCOUNT', DUE, '-inf', score)
      rank = call('ZCOUNT', DUE, '-inf', '(' .. score)
      while rank < past do
        local middle = math.floor((rank + past) / 2)
        if call('ZRANGE', DUE, middle, middle)[1] > member then past = middle else rank = middle + 1 end
      end
    end
  end
  local members = call('ZRANGE', DUE, rank, rank + count - 1, 'WITHSCORES')
  local seen = 0
  while seen < #members and bytes < BYTES do
    local member, due = members[seen + 1], digits(tonumber(members[seen + 2]))
    seen = seen + 2
    next = due .. ' ' .. member
    local fields = body(member)
    if fields then found[#found + 1] = { next, fields, due } end
  end
  if seen == #members and seen < 2 * count then next = '' end
end

if mode == 'list' then return { next, unpack(found) } end
for i = 1, #found do
  local at, fields = found[i][1], found[i][2]
  if name(get(fields, 'job')) == job or (place == 8 and at == job) then
    if mode == 'delete' then
      free(fields)
      if place == 8 then
        call('XDEL', DEAD, at)
      elseif stream then
        call('XDEL', KEYS[place], at)
        left(get(fields, 'grp'), place .. ' ' .. at)
      else
        local member = string.match(at, ' (.+)$')
        if place == 6 then
          call('ZREM', BEHIND, at)
        else
          call('ZREM', DUE, member)
        end
        call('HDEL', BODIES, member)
        if place == 7 then left(get(fields, 'grp'), 'due ' .. member) end
      end
    end
    return { next, found[i] }
  end
end
return { next }
