-- sweep: tells which of many queues have something to look after.
-- KEYS   the meta key of each queue; of one only on a cluster. The other keys that it looks
--        at have the same hash tag
-- reply  one digit for each queue, in their order: 0 nothing is held or scheduled; 1 the queue
--        does not exist; 2 there are jobs in its streams; 3 there are none, but other keys
--        that are to be looked after; 4 jobs are scheduled for later, and nothing else
-- cost   three commands that read, O(1), for a queue of which nothing is there, and else
--        fifteen at most, O(log scheduled)
-- twice  reads again
--
-- It goes without base.lua: for a queue that is idle it is all that happens, so that hundreds of
-- them cost next to nothing.
local call = redis.call
local levels = { 'critical', 'high', 'low', 'trivial' }

-- len is the length of a stream. Of a key that is none it is 1: recovery passes that by, and the
-- other queues of this call are looked at. A right that is missing is reported. O(1).
local function len(key)
  local n = redis.pcall('XLEN', key)
  if type(n) == 'number' then return n end
  if not string.find(n.err, 'WRONGTYPE', 1, true) then error(n) end
  return 1
end

-- later tells whether there is nothing but what is scheduled, with a body for each, and the first of it
-- is not due yet. What is no such key tells of itself by a fetch. O(log scheduled).
local ms
local function later(p)
  local head = redis.pcall('ZRANGE', p .. 'due', 0, 0, 'WITHSCORES')
  if not head[1] or redis.pcall('HLEN', p .. 'bodies') ~= call('ZCARD', p .. 'due') then return false end
  if call('EXISTS', p .. 'groups', p .. 'behind') > 0 then return false end
  if not ms then
    local t = call('TIME')
    ms = t[1] * 1000 + math.floor(t[2] / 1000)
  end
  return (tonumber(head[2]) or 0) > ms
end

-- look tells what there is of a queue, by what its keys begin with, besides jobs of the level
-- Normal. has is how many there are of the two keys that each queue has.
local function look(meta, p, has)
  if has < 2 and call('EXISTS', meta) == 0 then return '1' end
  if call('EXISTS', p .. 'normal-back', p .. 'critical-back', p .. 'high-back', p .. 'low-back', p .. 'trivial-back') > 0 then return '2' end
  for i = 1, #levels do
    if len(p .. levels[i]) > 0 then return '2' end
  end
  if has < 2 then return '3' end
  if call('EXISTS', p .. 'due', p .. 'bodies', p .. 'groups', p .. 'behind') == 0 then return '0' end
  return later(p) and '4' or '3'
end

local out = {}
for i = 1, #KEYS do
  local meta = KEYS[i]
  local p = string.sub(meta, 1, -5)
  local has = call('EXISTS', meta, p .. 'token')
  if has > 0 and len(p .. 'normal') > 0 and call('EXISTS', meta) == 1 then
    out[i] = '2'
  elseif has == 2 and call('EXISTS', p .. 'due', p .. 'bodies', p .. 'groups', p .. 'behind',
    p .. 'critical', p .. 'high', p .. 'low', p .. 'trivial',
    p .. 'normal-back', p .. 'critical-back', p .. 'high-back', p .. 'low-back', p .. 'trivial-back') == 0 then
    out[i] = '0'
  else
    out[i] = look(meta, p, has)
  end
end
return table.concat(out)
