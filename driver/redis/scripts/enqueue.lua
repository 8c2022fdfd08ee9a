-- enqueue: stores messages that are ready at once, without dedup key or group.
-- KEYS   1 to 5: the streams of the levels; 6: wake; 7: meta
-- ARGV   for each message: code, job, body, then further field names and values;
--        code is the stream's index + 8 * the number of further ARGV
-- reply  the number of messages
-- cost   O(1) amortized for each message, and O(its fields)
-- twice  stores the messages twice: the client never does it by itself
--
-- It goes without base.lua and lib.lua: it runs for every few jobs, and what they define
-- takes longer than to store one.
local call = redis.call
if call('EXISTS', KEYS[7]) == 0 then return redis.error_reply('NOQUEUE the queue does not exist') end
local at, n = 1, 0
local last = #ARGV
while at <= last do
  local code = tonumber(ARGV[at])
  if code < 8 then
    call('XADD', KEYS[code], '*', 'job', ARGV[at + 1], 'body', ARGV[at + 2])
    at = at + 3
  else
    local more = math.floor(code / 8)
    call('XADD', KEYS[code % 8], '*', 'job', ARGV[at + 1], 'body', ARGV[at + 2], unpack(ARGV, at + 3, at + 2 + more))
    at = at + 3 + more
  end
  n = n + 1
end
if call('EXISTS', KEYS[6]) == 0 then
  call('RPUSH', KEYS[6], '1')
  call('PEXPIRE', KEYS[6], 3600000)
end
return n
