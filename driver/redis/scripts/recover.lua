-- recover: makes jobs ready again whose lease ended, in bounded steps.
-- KEYS   16: the lock, by which one consumer of a queue at a time does this
-- ARGV   1: the index of the stream to go on at, or 0 to begin; 2: the consumer;
--        3: how long the lock holds in ms; 4: a cursor from which to look after
--        groups, or empty
-- reply  the index of the stream to go on at, 0 at the end, or -1 if another
--        consumer has the lock or the queue does not exist; the number of jobs that were moved; the next such
--        cursor
-- cost   one step looks at one stream: O(consumers + jobs that they hold), and
--        O(fields) for each of at most 100 that are moved; about 50 groups (all,
--        if Redis keeps them as a listpack: 512 by default); never O(waiting)
-- twice  finds less to do
--
-- The lease is the idle time of the pending entry, and its length is part of the
-- consumer's name: there is no other record, which could vanish. What XADD puts at
-- the end is a new entry, so the old holder is fenced off.
if missing() then return { -1, 0, ARGV[4] } end
local lvl, me = tonumber(ARGV[1]), ARGV[2]
local UNNAMED = 60000 -- the lease of a foreign consumer, whose name does not tell it
local FORGET = 3600000 -- an idle consumer is removed after so many ms without a sign of life
local BUDGET = 100

local scanned = '0'
if lvl == 0 then
  -- At its maxmemory the server refuses the lock. Then all look, not none.
  if not redis.pcall('SET', KEYS[16], me, 'NX', 'PX', ARGV[3]) then return { -1, 0, ARGV[4] } end
  lvl = 1
  if ARGV[4] ~= '' then
    -- A group goes on if another program deleted its one running job.
    local scan = call('HSCAN', GROUPS, ARGV[4], 'COUNT', 50)
    scanned = scan[1]
    for i = 1, #scan[2], 2 do
      local grp, place = scan[2][i], scan[2][i + 1]
      local where, id = string.match(place, '^(%S+) (.+)$')
      local there = false
      if where == 'due' then
        there = call('ZSCORE', DUE, id) and call('HEXISTS', BODIES, id) == 1
      elseif where then
        there = call('XRANGE', KEYS[tonumber(where)], id, id)[1]
      end
      if not there then follow(grp) end
    end
  end
end

local moved = 0
local function again(key, id)
  moved = moved + 1
  call('XACK', key, GROUP, id)
  local entry = call('XRANGE', key, id, id)[1]
  if not entry then return end -- its body is gone: nothing to run
  local h = history(entry[2])
  h.n, h.r = h.n + 1, h.r + 1
  ready(lvl, renew(entry[2], lvl, h))
  call('XDEL', key, id)
end

while lvl <= 5 do
  local key = KEYS[lvl]
  local info = group(key)
  if info and info.consumers > 0 then
    local all = call('XINFO', 'CONSUMERS', key, GROUP)
    for i = 1, #all do
      local c = {}
      for j = 1, #all[i], 2 do c[all[i][j]] = all[i][j + 1] end
      if c.pending > 0 and moved < BUDGET then
        local lease = tonumber(string.match(c.name, ':(%d+)$')) or UNNAMED
        local lapsed = call('XPENDING', key, GROUP, 'IDLE', digits(lease), '-', '+', BUDGET - moved, c.name)
        for j = 1, #lapsed do again(key, lapsed[j][1]) end
      elseif c.pending == 0 and c.idle > FORGET and c.name ~= me then
        call('XGROUP', 'DELCONSUMER', key, GROUP, c.name)
      end
    end
  end
  if info then
    -- An entry that was handed out is held, unless another program deleted its
    -- consumer. The oldest entry tells: what is held is removed in the end.
    while moved < BUDGET do
      local head = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
      if not head or after(head[1], info['last-delivered-id']) then break end
      if call('XPENDING', key, GROUP, head[1], head[1], 1)[1] then break end
      again(key, head[1])
    end
  end
  if moved >= BUDGET then break end
  lvl = lvl + 1
  if info then break end
end
if moved > 0 then wake() end
return { lvl > 5 and 0 or lvl, moved, scanned }
