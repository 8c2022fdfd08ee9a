-- enqueue: stores messages that are ready at once, without dedup key or group.
-- ARGV   for each message: code, id, kind, body, at, then further field names
--        and values; code is the stream's index + 8 * the number of further ARGV
-- reply  the number of messages
-- cost   O(1) amortized for each message, and O(its fields)
-- twice  stores the messages twice: the client never does it by itself
local at, n = 1, 0
local last = #ARGV
while at <= last do
  local code = tonumber(ARGV[at])
  if code < 8 then
    call('XADD', KEYS[code], '*', 'id', ARGV[at + 1], 'kind', ARGV[at + 2], 'body', ARGV[at + 3], 'at', ARGV[at + 4])
    at = at + 5
  else
    local more = math.floor(code / 8)
    call('XADD', KEYS[code % 8], '*', 'id', ARGV[at + 1], 'kind', ARGV[at + 2], 'body', ARGV[at + 3], 'at', ARGV[at + 4],
      unpack(ARGV, at + 5, at + 4 + more))
    at = at + 5 + more
  end
  n = n + 1
end
wake()
return n
