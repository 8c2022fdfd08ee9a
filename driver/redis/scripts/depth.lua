-- depth: counts the jobs of a queue.
-- reply  waiting, scheduled, running, dead
-- cost   O(1): XLEN, ZCARD, and XINFO GROUPS over one group
-- twice  reads again
local waiting, running = call('ZCARD', BEHIND), 0
for lvl = 1, 5 do
  local info = group(KEYS[lvl])
  local held = info and info.pending or 0
  running = running + held
  waiting = waiting + math.max(call('XLEN', KEYS[lvl]) - held, 0)
end
return { waiting, call('ZCARD', DUE), running, call('XLEN', DEAD) }
