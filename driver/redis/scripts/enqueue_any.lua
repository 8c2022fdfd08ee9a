-- enqueue_any: stores messages of any sort, and if asked for all or none of them.
-- KEYS   from 21: the dedup keys of the messages; each holds "microseconds ID" of
--        the first job with it
-- ARGV   1: "1" for all or none; then for each message code, delay in ms, number of
--        its dedup key or 0, how long that is remembered in ms, group or empty, job,
--        body, then further field names and values; code as in enqueue
-- reply  for each duplicate its position, from 1, and the ID of the first job with
--        its key; with all or none, nothing was stored if this is not empty
-- cost   O(fields) for each message, + O(log scheduled) if delayed, + O(log
--        behind) if in a group
-- twice  stores those without a dedup key twice: the client never does it by itself
if missing() then return redis.error_reply(NOQUEUE) end
local atomic = ARGV[1] == '1'
local ms, us = now()
local deleted = tonumber(call('GET', DELETED) or 0) or 0
local taken = {}

-- first is the ID of the job that has the dedup key. Keys from before the queue
-- was deleted do not count: they end by themselves.
local function first(n)
  if taken[n] then return taken[n] end
  local value = call('GET', KEYS[20 + n])
  if not value then return nil end
  local stamp, id = string.match(value, '^(%d+) (.*)$')
  if stamp and tonumber(stamp) > deleted then return id end
end

local last = #ARGV
if atomic then
  -- A script is not rolled back, so it first looks at what could fail half-way.
  local types = { 'stream', 'stream', 'stream', 'stream', 'stream', 'zset', 'hash', 'hash', 'zset', [11] = 'list' }
  for i, want in pairs(types) do
    local is = call('TYPE', KEYS[i]).ok
    if is ~= 'none' and is ~= want then
      return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' holds a ' .. is)
    end
  end
  local at, n, dups = 2, 0, {}
  while at <= last do
    n = n + 1
    local key = tonumber(ARGV[at + 2])
    if key > 0 then
      local id = first(key)
      if id then
        dups[#dups + 1] = n
        dups[#dups + 1] = id
      else
        taken[key] = name(ARGV[at + 5])
      end
    end
    at = at + 7 + math.floor(tonumber(ARGV[at]) / 8)
  end
  if #dups > 0 then return dups end
  taken = {}
end

local at, n, dups = 2, 0, {}
while at <= last do
  n = n + 1
  local code, delay, key, grp = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 4]
  local more = math.floor(code / 8)
  local id = key > 0 and first(key)
  if id then
    dups[#dups + 1] = n
    dups[#dups + 1] = id
  else
    local fields = { 'job', ARGV[at + 5], 'body', ARGV[at + 6], unpack(ARGV, at + 7, at + 6 + more) }
    if key > 0 then
      fields[#fields + 1] = 'dt'
      fields[#fields + 1] = digits(us)
    end
    if delay > 0 then
      schedule(fields, math.ceil(us / 1000) + delay, us)
    elseif grp ~= '' then
      line(fields, grp, us)
    else
      call('XADD', KEYS[code % 8], '*', unpack(fields))
    end
    if key > 0 then
      taken[key] = name(ARGV[at + 5])
      call('SET', KEYS[20 + key], digits(us) .. ' ' .. taken[key], 'PX', ARGV[at + 3])
    end
  end
  at = at + 7 + more
end
wake()
return dups
