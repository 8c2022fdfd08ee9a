-- settle: ends deliveries.
-- ARGV   1: the consumer; 2 to 11: how many jobs of each stream, as STREAMS lists them, are
--        done and have no group; then their entry IDs, stream by stream; then for each
--        other settlement the stream's index, entry ID, outcome (done, retry, release,
--        return, dead, strip), delay in ms, failures, error, reason, bounces, bounced since
--        in Unix ms or empty
-- reply  the positions, from 1 in the order of ARGV, of those that are not held; and of
--        each that failed its position, negative, and the text of the error behind it: it
--        is still held
-- cost   O(1) for each that is done; else O(fields), + O(log scheduled) for a
--        delayed retry, + O(log behind) in a group
-- twice  leaves alone what the first run ended, as it is not held any more
--
-- XACK counts a delivery for exactly one settlement. If it counts fewer than it was given
-- it does not say which are lost: those whose entry is gone. A lapsed job goes on under a
-- new entry ID, so only the consumer that it was handed to ever knows an ID. XACK is also a
-- first write that a server at its maxmemory does not refuse, so it refuses none that follow.
--
-- Its first part is done, which stands in front of lib and ends those that are simply done.
local ms, us, stir

-- store stores what becomes of an entry. at is where its settlement is in ARGV.
local function store(at, stream, id, fields)
  local outcome, lvl = ARGV[at + 2], stream > BACK and stream - BACK or stream
  if not ms then ms, us = now() end
  local h = history(fields)
  if outcome == 'release' or outcome == 'return' then
    -- Not run, or given back before it ended: whose holders vanished stays known. With
    -- return it was fetched for a call that had ended: as if it was never handed out.
    if outcome == 'release' then h.n = h.n + 1 end
    ready(BACK + lvl, renew(fields, lvl, h))
    stir = true
    return
  end
  h.n = h.n + 1
  if outcome ~= 'done' then
    h.r, h.f, h.err = 0, tonumber(ARGV[at + 4]), ARGV[at + 5]
    h.b, h.bs = tonumber(ARGV[at + 7]), ARGV[at + 8]
  end
  if outcome == 'retry' then
    local delay = tonumber(ARGV[at + 3])
    if delay > 0 then
      -- Retries of the same time come together: up to a 50th of their delay late, and 20 ms
      -- at most. One that comes alone costs the server as much as ten that come at once.
      local tick = math.min(math.floor(delay / 50) + 1, 20)
      schedule(renew(fields, lvl, h), math.ceil((math.ceil(us / 1000) + delay) / tick) * tick, us)
    else
      ready(lvl, renew(fields, lvl, h))
      stir = true
    end
    return
  end
  local dead
  if outcome ~= 'done' then
    h.why, h.died = ARGV[at + 6], ms
    dead = call('XADD', DEAD, '*', unpack(renew(fields, lvl, h, outcome == 'strip')))
  end
  local ok, err = pcall(left, get(fields, 'grp'), stream .. ' ' .. id)
  if not ok then
    if dead then call('XDEL', DEAD, dead) end
    raise(err)
  end
end

-- again gives an entry back to the consumer, as what it was to become is not stored.
local function again(key, id, n, err)
  redis.pcall('XCLAIM', key, GROUP, me, 0, id, 'FORCE', 'JUSTID')
  failed(n, err)
end

-- All of a stream are taken at once. held tells of a stream whether all of them were held,
-- or the error.
local ids, held = {}, {}
for i = at, #ARGV, 9 do
  local of = ids[ARGV[i]]
  if not of then
    of = { 'XACK', KEYS[tonumber(ARGV[i])], GROUP }
    ids[ARGV[i]] = of
  end
  of[#of + 1] = ARGV[i + 1]
end
for stream, args in pairs(ids) do
  local acked = redis.pcall(unpack(args))
  held[stream] = type(acked) == 'table' and acked or acked == #args - 3
  ids[stream] = { 'XDEL', args[2] }
end

while at <= #ARGV do
  seq = seq + 1
  local stream, id, all = tonumber(ARGV[at]), ARGV[at + 1], held[ARGV[at]]
  local key, gone = KEYS[stream], ids[ARGV[at]]
  local got = type(all) == 'table' and all or redis.pcall('XRANGE', key, id, id)
  local entry = got[1]
  if got == all then
    failed(seq, all)
  elseif got.err then
    again(key, id, seq, got)
  elseif not entry then
    -- Not held, or another program deleted it: there is nothing to store anew.
    lost[#lost + 1] = seq
  else
    local ok, err = pcall(store, at, stream, id, entry[2])
    if not ok then
      again(key, id, seq, err)
    elseif all then
      gone[#gone + 1] = id
    else
      call('XDEL', key, id) -- at once: it may be there a second time
    end
  end
  at = at + 9
end
for _, args in pairs(ids) do
  if #args > 2 then call(unpack(args)) end
end
if stir then wake() end
return lost
