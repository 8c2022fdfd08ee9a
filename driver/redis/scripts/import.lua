-- import: stores jobs as they were elsewhere.
-- ARGV   for each job code, state (waiting, scheduled, dead), delay in ms, group or
--        empty, job, body, then further field names and values, its history among
--        them; code as in enqueue
-- reply  the number of jobs
-- cost   O(fields) for each job, + O(log scheduled) if held back, + O(log behind) if
--        in a group
-- twice  stores the jobs twice: the client never does it by itself
--
-- A job that takes no dedup key has none to free: its dt is 0.
if missing() then return redis.error_reply(NOQUEUE) end
local _, us = now()
local at, n, last = 1, 0, #ARGV
while at <= last do
  local code, state, delay, grp = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2]), ARGV[at + 3]
  local more = math.floor(code / 8)
  local fields = { 'job', ARGV[at + 4], 'body', ARGV[at + 5], unpack(ARGV, at + 6, at + 5 + more) }
  local due = state == 'scheduled' and delay > 0 and math.ceil(us / 1000) + delay or nil
  if state == 'dead' then
    call('XADD', DEAD, '*', unpack(fields))
  elseif grp ~= '' then
    line(fields, grp, us, due)
  elseif due then
    schedule(fields, due, us)
  else
    call('XADD', KEYS[code % 8], '*', unpack(fields))
  end
  at, n = at + 6 + more, n + 1
end
wake()
return n
