-- extend: renews leases: the consumer claims its jobs from itself.
-- ARGV   1: the consumer; 2 to 11: how many jobs of each stream, as
--        STREAMS lists them; then their entry
--        IDs, stream by stream
-- reply  the positions, from 1, of those that are not held
-- cost   O(log running) for each
-- twice  renews again
--
-- JUSTID leaves the delivery counter alone. The claim removes an entry that was
-- deleted from the pending list, and it is reported as not held.
local lost, seq, at = {}, 0, 12
for s = 1, #STREAMS do
  local n = tonumber(ARGV[s + 1])
  if n > 0 then
    local args = { 'XCLAIM', KEYS[STREAMS[s]], GROUP, ARGV[1], '0' }
    for i = at, at + n - 1 do args[#args + 1] = ARGV[i] end
    args[#args + 1] = 'JUSTID'
    local held = redis.pcall(unpack(args))
    if held.err then
      if not string.find(held.err, '^NOGROUP') then return held end
      held = {}
    end
    if #held < n then
      local is = {}
      for i = 1, #held do is[held[i]] = true end
      for i = at, at + n - 1 do
        if not is[ARGV[i]] then lost[#lost + 1] = seq + i - at + 1 end
      end
    end
    at, seq = at + n, seq + n
  end
end
return lost
