-- settle: ends deliveries.
-- ARGV   1 to 5: how many jobs of each stream are done and have no group; then
--        their entry IDs, stream by stream; then for each other settlement the
--        stream's index, entry ID, outcome (done, retry, release, return, dead),
--        delay in ms, failures, error, reason, bounces, bounced since in Unix ms or
--        empty
-- reply  the positions, from 1 in the order of ARGV, of those that are not held
-- cost   O(1) for each that is done; else O(fields), + O(log scheduled) for a
--        delayed retry, + O(log behind) in a group
-- twice  leaves alone what the first run ended, as it is not held any more
--
-- XACK answers 1 to exactly one settlement. A lapsed job goes on under a new entry
-- ID, so only the consumer that it was handed to ever knows an ID.
local lost, seq, at = {}, 0, 6

for lvl = 1, 5 do
  local key, n = KEYS[lvl], tonumber(ARGV[lvl])
  if n > 0 then
    local acked = call('XACK', key, GROUP, unpack(ARGV, at, at + n - 1))
    if acked == n then
      call('XDEL', key, unpack(ARGV, at, at + n - 1))
    else
      -- Some are lost, and XACK does not say which: those whose entry is gone.
      for i = at, at + n - 1 do
        if call('XDEL', key, ARGV[i]) == 0 then lost[#lost + 1] = seq + i - at + 1 end
      end
    end
    at, seq = at + n, seq + n
  end
end

local ms, us, stir
while at <= #ARGV do
  seq = seq + 1
  local lvl, id, outcome = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2]
  local key = KEYS[lvl]
  local entry = call('XRANGE', key, id, id)[1]
  local fields = entry and entry[2]
  if call('XACK', key, GROUP, id) == 0 or not fields then
    -- Not held, or another program deleted it: there is nothing to store anew.
    lost[#lost + 1] = seq
  else
    if not ms then ms, us = now() end
    local h = history(fields)
    h.n = h.n + 1
    if outcome == 'retry' then
      h.r, h.f, h.err = 0, tonumber(ARGV[at + 4]), ARGV[at + 5]
      h.b, h.bs = tonumber(ARGV[at + 7]), ARGV[at + 8]
      local delay = tonumber(ARGV[at + 3])
      if delay > 0 then
        schedule(renew(fields, lvl, h), math.ceil(us / 1000) + delay, us)
      else
        ready(lvl, renew(fields, lvl, h))
        stir = true
      end
    elseif outcome == 'release' then
      -- Not run, or given back before it ended: whose holders vanished stays known.
      ready(lvl, renew(fields, lvl, h))
      stir = true
    elseif outcome == 'return' then
      -- Fetched for a call that had ended: as if it was never handed out.
      h.n = h.n - 1
      ready(lvl, renew(fields, lvl, h))
      stir = true
    else
      if outcome == 'dead' then
        h.r, h.f, h.err, h.why, h.died = 0, tonumber(ARGV[at + 4]), ARGV[at + 5], ARGV[at + 6], ms
        h.b, h.bs = tonumber(ARGV[at + 7]), ARGV[at + 8]
        call('XADD', DEAD, '*', unpack(renew(fields, lvl, h)))
      end
      left(get(fields, 'grp'), lvl .. ' ' .. id)
    end
    call('XDEL', key, id)
  end
  at = at + 9
end
if stir then wake() end
return lost
