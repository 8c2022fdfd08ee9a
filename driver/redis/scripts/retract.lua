-- retract: takes back messages that were added to streams of a queue that does not exist.
-- KEYS   as in enqueue
-- ARGV   for each message: its stream's index, and its entry
-- reply  for each message 1 if it is gone, with its stream perhaps, and 0 if it stays: the
--        queue exists by now, or the message was handed out
-- cost   O(log entries) for each message
-- twice  finds nothing to take back, and says that all stay whose streams are there
--
-- It goes without base.lua, as it has only the keys of enqueue.
local call = redis.call
local there = call('EXISTS', KEYS[7]) == 1
local out = {}
for at = 1, #ARGV, 2 do
  local key, id = KEYS[tonumber(ARGV[at])], ARGV[at + 1]
  local gone = 0
  if not there then
    local held = redis.pcall('XPENDING', key, 'batch', id, id, 1)
    if held.err or #held == 0 then gone = call('XDEL', key, id) end
    if gone == 0 and call('EXISTS', key) == 0 then gone = 1 end -- somebody deleted the queue
  end
  out[#out + 1] = gone
end
return out
