-- delete: removes the queue with all that it holds.
-- ARGV   1: the longest dedup window in ms
-- reply  0
-- cost   O(keys): UNLINK frees the memory in another thread
-- twice  finds nothing, and writes nothing
--
-- Dedup keys are not listed anywhere, as that would cost every enqueue. A stamp
-- makes the older ones worthless, and stays until the last of them has ended.
local there = call('UNLINK', META, PAUSED)
for i = 1, 10 do there = there + call('UNLINK', KEYS[i]) end
for i = 16, 20 do there = there + call('UNLINK', KEYS[i]) end
call('UNLINK', WAKE, TIMER, token())
if there == 0 then return 0 end
local _, us = now()
call('SET', DELETED, digits(us), 'PX', ARGV[1])
return 0
