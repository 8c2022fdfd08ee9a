-- delete: removes the queue with all that it holds.
-- KEYS   15: the queue's meta hash
-- ARGV   1: the longest dedup window in ms
-- reply  0
-- cost   O(keys): UNLINK frees the memory in another thread
-- twice  finds nothing
--
-- Dedup keys are not listed anywhere, as that would cost every enqueue. A stamp
-- makes the older ones worthless, and stays until the last of them has ended.
for i = 1, 13 do call('UNLINK', KEYS[i]) end
call('UNLINK', KEYS[15])
local _, us = now()
call('SET', DELETED, digits(us), 'PX', ARGV[1])
return 0
