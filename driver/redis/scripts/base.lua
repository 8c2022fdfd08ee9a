-- base: what nearly all scripts share. It stands in front of each of them but enqueue, retract
-- and sweep, and lib behind it where they need that. To begin lib takes the server longer than to
-- hand out a job or to end one, so what does these stands in front of lib, and mostly ends there.
--
-- KEYS of every script, all with the queue's hash tag:
--    1 to 5  the streams of waiting and running jobs, Critical to Trivial
--    6 due      zset: member of bodies, by the time in ms at which it is due
--    7 bodies   hash: member to the packed fields of a job that is not in a stream
--    8 groups   hash: group to the place of its one job that may run
--    9 behind   zset of score 0: "group member" of the jobs that wait for it
--   10 dead     stream: dead letters
--   11 wake     list: at most one token, which says that there is something to do
--   12 paused   string: exists while the queue is paused
--   13 timer    string: "score consumer": which consumer keeps the timer for the head of due
--   14 deleted  string: when the queue was last deleted, in microseconds
--   15 meta     hash: the format's version; the queue exists while this key does
--   16 to 20  the streams of jobs that came back, Critical to Trivial: they are handed
--             out before those of their level in 1 to 5
-- Each script's head says which keys it adds to these, from 21 on.
--
-- Redis runs a script as one step: no other command sees it half done, and what
-- it wrote reaches the append-only file and the replicas as one transaction. At
-- its maxmemory it refuses a script's first write if that needs memory, and none
-- after it. So an enqueue fails before it stored anything. Handing out, settling
-- and recovery begin with a write that needs none, and go on.
local call = redis.call
local DUE, BODIES, GROUPS, BEHIND, DEAD = KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local WAKE, PAUSED, TIMER, DELETED, META = KEYS[11], KEYS[12], KEYS[13], KEYS[14], KEYS[15]
local GROUP = 'batch'
local NORMAL = 3
-- All streams, as scripts count what is held in each.
local STREAMS = { 1, 2, 3, 4, 5, 16, 17, 18, 19, 20 }
-- What a script answers on a queue that does not exist, before it wrote anything.
local NOQUEUE = 'NOQUEUE the queue does not exist'

-- missing tells whether the queue does not exist: nobody declared it since it was
-- last deleted. Only declare makes a queue, and a key that is not there is the only
-- sign of it that an empty queue has. O(1).
local function missing() return call('EXISTS', META) == 0 end

-- wake makes one waiting consumer look. One token is enough: a consumer that takes
-- it and finds a full batch passes it on. The token ends after an hour, for queues
-- that were deleted; consumers that wait look by themselves every few seconds. O(1).
local function wake()
  if call('EXISTS', WAKE) == 0 then
    call('RPUSH', WAKE, '1')
    call('PEXPIRE', WAKE, 3600000)
  end
end

-- size is how many bytes the fields have. O(fields).
local function size(fields)
  local n = 0
  for i = 1, #fields do n = n + #fields[i] end
  return n
end

-- fault is the text of an error that pcall caught.
local function fault(err) return type(err) == 'table' and err.err or tostring(err) end

