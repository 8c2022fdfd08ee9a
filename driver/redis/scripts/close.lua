-- close: removes a consumer from the groups, if it holds nothing.
-- KEYS   21: the list that ends the consumer's BLPOP
-- ARGV   1: the consumer
-- reply  0
-- cost   O(1) for each of the ten streams
-- twice  finds nothing left to do
--
-- XGROUP DELCONSUMER forgets what the consumer holds, which would then never be
-- handed out again. So one that holds something stays until recovery has taken it.
local me = ARGV[1]
for i = 1, #STREAMS do
  local key = KEYS[STREAMS[i]]
  local held = redis.pcall('XPENDING', key, GROUP, '-', '+', 1, me)
  if held.err then
    forbidden(held)
  elseif not held[1] then
    redis.pcall('XGROUP', 'DELCONSUMER', key, GROUP, me)
  end
end
call('DEL', KEYS[21])
local timer = call('GET', TIMER)
if timer and string.match(timer, ' (.+)$') == me then call('DEL', TIMER) end
-- It may have taken a token for nobody, and another consumer has to set the timer.
if not missing() then wake() end
return 0
