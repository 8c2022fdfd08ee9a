-- depth: counts the jobs of a queue.
-- reply  waiting, scheduled, running, dead; how many of the scheduled are due; the
--        age of the oldest that waits in ms, 0 if none does, or -1 if it is not known
-- cost   O(log jobs), and O(size) of the ten jobs at the heads of the streams, and
--        of at most 500 that stand behind another of their group
-- twice  reads again
--
-- The ID of an entry tells when it became ready, by the server's clock. Behind is in
-- the order of groups and not of time. With more jobs there than it looks at, this
-- script does not guess.
if missing() then return redis.error_reply(NOQUEUE) end
local LOOK = 500
local ms = now()
local since -- when the oldest that waits began to, in ms
local function waits(at)
  if at and (not since or at < since) then since = at end
end
local waiting, running = call('ZCARD', BEHIND), 0
for i = 1, #STREAMS do
  local key = KEYS[STREAMS[i]]
  local info = group(key)
  local held = info and info.pending or 0
  running = running + held
  local here = math.max(call('XLEN', key) - held, 0)
  waiting = waiting + here
  if here > 0 then
    local head = call('XRANGE', key, '(' .. (info and info['last-delivered-id'] or '0-0'), '+', 'COUNT', 1)[1]
    waits(head and tonumber(string.match(head[1], '^%d+')))
  end
end
local behind = call('ZRANGE', BEHIND, 0, LOOK)
for i = 1, #behind do
  waits(math.floor((tonumber(string.match(behind[i], ' (%d+)%.%d+$')) or ms * 1000) / 1000))
end
local age = since and math.max(ms - since, 0) or 0
if #behind > LOOK then age = -1 end
return { waiting, call('ZCARD', DUE), running, call('XLEN', DEAD), call('ZCOUNT', DUE, '-inf', digits(ms)), age }
