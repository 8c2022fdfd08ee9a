-- pause: pauses a queue, resumes it, or asks.
-- ARGV   1: pause, resume or ask
-- reply  1 if the queue was paused before, else 0
-- cost   O(1)
-- twice  changes nothing
if missing() then return redis.error_reply(NOQUEUE) end
local was = call('EXISTS', PAUSED)
if ARGV[1] == 'pause' then
  call('DEL', PAUSED) -- a first write that a full server does not refuse
  call('SET', PAUSED, '1')
elseif ARGV[1] == 'resume' then
  call('DEL', PAUSED)
  wake()
end
return was
