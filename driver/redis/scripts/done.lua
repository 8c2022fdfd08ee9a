-- done: the first part of settle, which ends what is simply done.
-- ARGV   those of settle
-- reply  that of settle, which goes on if there is more to end
-- cost   O(1) for each
-- twice  as settle
local lost, seq, at = {}, 0, 12
local me = ARGV[1]

-- failed notes the error of one settlement.
local function failed(n, err)
  lost[#lost + 1] = -n
  lost[#lost + 1] = fault(err)
end

for s = 1, #STREAMS do
  local key, n = KEYS[STREAMS[s]], tonumber(ARGV[s + 1])
  if n > 0 then
    local acked = redis.pcall('XACK', key, GROUP, unpack(ARGV, at, at + n - 1))
    if type(acked) == 'table' then
      for i = 1, n do failed(seq + i, acked) end
    elseif acked == n then
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
if at > #ARGV then return lost end

