-- recover: makes jobs ready again whose lease ended, in bounded steps.
-- KEYS   21: the lock, by which one consumer of a queue at a time does this
-- ARGV   1: which of STREAMS to go on at, or 0 to begin; 2: the consumer;
--        3: how long the lock holds in ms; 4: a cursor from which to look after
--        groups, or empty
-- reply  which of STREAMS to go on at, 0 at the end, or -1 if another consumer has the
--        lock or the queue does not exist; the number of jobs that were moved; the next
--        such cursor
-- cost   one step looks at one stream: O(consumers + jobs that they hold), and
--        O(fields) for each of at most 100 that are moved, up to BYTES bytes and one job;
--        about 50 groups (all, if Redis keeps them as a listpack: 512 by default); never
--        O(waiting)
-- twice  finds less to do
--
-- The lease is the idle time of the pending entry, and its length is part of the
-- consumer's name: there is no other record, which could vanish. What XADD puts in the
-- stream of those that came back is a new entry, so the old holder is fenced off.
if missing() then return { -1, 0, ARGV[4] } end
local at, me = tonumber(ARGV[1]), ARGV[2]
local UNNAMED = 60000 -- the lease of a foreign consumer, whose name does not tell it
local FORGET = 3600000 -- an idle consumer is removed after so many ms without a sign of life
local BUDGET = 100

-- begin lets the next job of each group begin that no key groups knows any more, of 50 from
-- a member of behind on. O(50 log behind).
local function begin(from)
  for _ = 1, 50 do
    local found = call('ZRANGEBYLEX', BEHIND, from, '+', 'LIMIT', 0, 1)
    local grp = found[1] and string.match(found[1], '^(%S+) ')
    if not grp then return end
    if call('HEXISTS', GROUPS, grp) == 0 then follow(grp) end
    from = '(' .. grp .. '!'
  end
end

-- mend finds jobs that no other key leads to any more, as somebody removed it: due, behind
-- or groups. O(1) if no job is out of the streams, and O(100 log behind) else.
local function mend()
  if call('HLEN', BODIES) > call('ZCARD', DUE) + call('ZCARD', BEHIND) then
    local _, us = now()
    local some, bytes = call('HRANDFIELD', BODIES, 100), 0
    for i = 1, #some do
      if bytes < BYTES and not call('ZSCORE', DUE, some[i]) then
        local packed = call('HGET', BODIES, some[i])
        bytes = bytes + #packed
        local ok, fields = pcall(cmsgpack.unpack, packed)
        local grp = ok and type(fields) == 'table' and get(fields, 'grp')
        if not grp or call('HGET', GROUPS, grp) == 'due ' .. some[i] then
          forth(some[i], now_ready)
        elseif not call('ZSCORE', BEHIND, grp .. ' ' .. some[i]) then
          forth(some[i], function(own) line(own, grp, us) end)
        end
      end
    end
    wake()
  end
  -- Of many groups the first would keep the others from being looked at, so that half of
  -- them begin anywhere.
  local waiting = call('ZCARD', BEHIND)
  if waiting > 0 then
    local _, us = now()
    local any = call('ZRANGE', BEHIND, us % waiting, us % waiting)
    begin('-')
    if any[1] then begin('[' .. any[1]) end
  end
end

local scanned = '0'
if at == 0 then
  -- At its maxmemory the server refuses the lock. Then all look, not none.
  if not redis.pcall('SET', KEYS[21], me, 'NX', 'PX', ARGV[3]) then return { -1, 0, ARGV[4] } end
  at = 1
  if ARGV[4] ~= '' then
    stock()
    local ok, err = pcall(mend)
    if not ok then forbidden(err) end
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

local moved, failed, bytes = 0, 0, 0

-- store stores the job of an entry anew, as one that came back.
local function store(lvl, fields)
  local h = history(fields)
  h.n, h.r = h.n + 1, h.r + 1
  ready(BACK + lvl, renew(fields, lvl, h))
end

-- again takes an entry from the consumer that held it, if any, and stores it anew. False
-- says that this failed: a key of the queue holds what it should not. Then nothing changed.
local function again(stream, id, holder, lease)
  local key = KEYS[stream]
  moved = moved + 1
  call('XACK', key, GROUP, id)
  local entry = call('XRANGE', key, id, id)[1]
  if not entry then return true end -- its body is gone: nothing to run
  bytes = bytes + size(entry[2])
  local ok, err = pcall(store, stream > BACK and stream - BACK or stream, entry[2])
  if not ok then
    if holder then redis.pcall('XCLAIM', key, GROUP, holder, 0, id, 'IDLE', lease, 'FORCE', 'JUSTID') end
    forbidden(err)
    failed = failed + 1
    return false
  end
  call('XDEL', key, id)
  return true
end

while at <= #STREAMS do
  local stream = STREAMS[at]
  local key = KEYS[stream]
  local info = group(key)
  if info and info.consumers > 0 then
    local all = call('XINFO', 'CONSUMERS', key, GROUP)
    for i = 1, #all do
      local c = {}
      for j = 1, #all[i], 2 do c[all[i][j]] = all[i][j + 1] end
      if c.pending > 0 and moved < BUDGET and bytes < BYTES then
        local lease = tonumber(string.match(c.name, ':(%d+)$')) or UNNAMED
        local lapsed = call('XPENDING', key, GROUP, 'IDLE', digits(lease), '-', '+', BUDGET - moved, c.name)
        for j = 1, #lapsed do
          if bytes < BYTES then again(stream, lapsed[j][1], c.name, digits(lease)) else moved = BUDGET end
        end
      elseif c.pending == 0 and c.idle > FORGET and c.name ~= me then
        call('XGROUP', 'DELCONSUMER', key, GROUP, c.name)
      end
    end
  end
  if info then
    -- An entry that was handed out is held, unless another program deleted its
    -- consumer. The oldest entry tells: what is held is removed in the end.
    while moved < BUDGET and bytes < BYTES do
      local head = call('XRANGE', key, '-', '+', 'COUNT', 1)[1]
      if not head or after(head[1], info['last-delivered-id']) then break end
      if call('XPENDING', key, GROUP, head[1], head[1], 1)[1] then break end
      if not again(stream, head[1]) then break end
    end
  end
  -- What failed is still there, and would fail again at once: the next look tries it.
  if (moved >= BUDGET or bytes >= BYTES) and failed == 0 then break end
  -- Handing out looks at one key for all the streams of those that came back.
  if stream > BACK and info and info.pending == 0 and call('XLEN', key) == 0 then call('DEL', key) end
  at = at + 1
  if info then break end
end
if moved > failed then wake() end
return { at > #STREAMS and 0 or at, moved, scanned }
