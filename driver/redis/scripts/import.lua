-- import: stores jobs as they were elsewhere.
-- KEYS   from 21: the import keys of the jobs; each holds "microseconds ID" of the first job
--        with it
-- ARGV   1: how long import keys are remembered in ms; then for each job code, state
--        (waiting, scheduled, dead), delay in ms, number of its import key or 0, group or
--        empty, job, body, then further field names and values, its history among
--        them; code as in enqueue
-- reply  for each job that was not stored its position, from 1, and the ID of the first job
--        with its key
-- cost   O(fields) for each job, + O(log scheduled) if held back, + O(log behind) if
--        in a group
-- twice  stores jobs without a key twice: the client never does it by itself
--
-- A job that takes no dedup key has none to free: its dt is 0.
if missing() then return redis.error_reply(NOQUEUE) end
local _, us = now()
local deleted = tonumber(call('GET', DELETED) or 0) or 0

-- first is the ID of the job that has the import key. Keys from before the queue was deleted
-- do not count: they end by themselves.
local function first(n)
  local value = call('GET', KEYS[20 + n])
  local stamp, id = string.match(value or '', '^(%d+) (.*)$')
  if stamp and tonumber(stamp) > deleted then return id end
end

local at, n, last, dups = 2, 0, #ARGV, {}
while at <= last do
  n = n + 1
  local code, state, delay, key, grp = tonumber(ARGV[at]), ARGV[at + 1], tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]), ARGV[at + 4]
  local more = math.floor(code / 8)
  local id = key > 0 and first(key)
  if id then
    dups[#dups + 1] = n
    dups[#dups + 1] = id
  else
    local fields = { 'job', ARGV[at + 5], 'body', ARGV[at + 6], unpack(ARGV, at + 7, at + 6 + more) }
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
    if key > 0 then call('SET', KEYS[20 + key], digits(us) .. ' ' .. name(ARGV[at + 5]), 'PX', ARGV[1]) end
  end
  at = at + 7 + more
end
wake()
return dups
