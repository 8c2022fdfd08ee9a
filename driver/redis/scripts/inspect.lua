-- inspect: reads one place of a queue step by step, and finds or deletes a job.
-- ARGV   1: the place: 1 to 5 the streams, 6 behind, 7 due, 8 dead; 2: the cursor
--        or empty; 3: how many entries to look at; 4: list, find or delete; 5:
--        the job's ID for find and delete
-- reply  the next cursor, or empty at the end of the place; then entries: of each
--        its own cursor, its fields, and in due the time in ms
-- cost   O(entries looked at and their fields) + O(log size); in due also O(those
--        due in the same ms) if the entry at the cursor is gone
-- twice  reads again; does not find a job that was deleted
--
-- A waiting job is one after the last that was handed out. Deleting checks that in
-- the same step, so a running job is never taken from its holder. It frees the job's
-- dedup key.
if missing() then return redis.error_reply(NOQUEUE) end
local place, cursor, count, mode, job = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5]
local found = {} -- of cursor, fields, due
local seen, next = 0, ''

local function body(member)
  local packed = call('HGET', BODIES, member)
  if not packed then return nil end
  local ok, fields = pcall(cmsgpack.unpack, packed)
  return ok and type(fields) == 'table' and fields or nil
end

if place <= 5 or place == 8 then
  local key, from = DEAD, cursor == '' and '0-0' or cursor
  if place <= 5 then
    key = KEYS[place]
    local info = group(key)
    if info and after(info['last-delivered-id'], from) then from = info['last-delivered-id'] end
  end
  local entries = call('XRANGE', key, '(' .. from, '+', 'COUNT', count)
  seen = #entries
  if seen > 0 then next = entries[seen][1] end
  found = entries
elseif place == 6 then
  local members = call('ZRANGEBYLEX', BEHIND, cursor == '' and '-' or '(' .. cursor, '+', 'LIMIT', 0, count)
  seen = #members
  if seen > 0 then next = members[seen] end
  for i = 1, seen do
    local fields = body(string.match(members[i], ' (.+)$'))
    if fields then found[#found + 1] = { members[i], fields } end
  end
else
  local rank = 0
  if cursor ~= '' then
    local score, member = string.match(cursor, '^(%d+) (.+)$')
    local is = call('ZSCORE', DUE, member)
    if is and tonumber(is) == tonumber(score) then
      rank = call('ZRANK', DUE, member) + 1
    else
      rank = call('ZCOUNT', DUE, '-inf', '(' .. score)
      while true do
        local at = call('ZRANGE', DUE, rank, rank, 'WITHSCORES')
        if not at[1] or tonumber(at[2]) > tonumber(score) or at[1] > member then break end
        rank = rank + 1
      end
    end
  end
  local members = call('ZRANGE', DUE, rank, rank + count - 1, 'WITHSCORES')
  seen = #members / 2
  for i = 1, #members, 2 do
    next = digits(tonumber(members[i + 1])) .. ' ' .. members[i]
    local fields = body(members[i])
    if fields then found[#found + 1] = { next, fields, digits(tonumber(members[i + 1])) } end
  end
end
if seen < count then next = '' end

if mode == 'list' then return { next, unpack(found) } end
for i = 1, #found do
  local at, fields = found[i][1], found[i][2]
  if name(get(fields, 'job')) == job or (place == 8 and at == job) then
    if mode == 'delete' then
      free(fields)
      if place == 8 then
        call('XDEL', DEAD, at)
      elseif place <= 5 then
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
