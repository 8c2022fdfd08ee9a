-- receive: hands out jobs to a consumer.
-- ARGV   1: how many at most; 2: the consumer; 3: how many to read before
--        looking at their size
-- reply  ms until the next job is due, or -1; 1 if its timer is this consumer's;
--        then for each stream that gave jobs its index and its entries
-- cost   O(jobs handed out) + O(500 log scheduled) while jobs are due; on an
--        idle queue a constant dozen commands
-- twice  hands out other jobs; those of a reply that was lost come back when
--        their lease ends
--
-- Levels are read strictly from the highest, in this one step together with the
-- pause and with what is due, so that no job slips past another or past a pause.
-- One XREADGROUP over all streams would not do: its COUNT is for each stream.
local want, me, chunk = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local BUDGET = 8388608 -- bytes that one reply aims to stay below
local _, wait, mine = move(me, 500)
local out = { wait, mine }
if call('EXISTS', PAUSED) == 1 then return out end

local count, bytes = 0, 0
for lvl = 1, 5 do
  local key = KEYS[lvl]
  if call('XLEN', key) > 0 then
    local read = { 'XREADGROUP', 'GROUP', GROUP, me, 'COUNT', 0, 'STREAMS', key, '>' }
    while want > 0 do
      local n = math.min(want, chunk)
      read[6] = n
      local got = redis.pcall(unpack(read))
      if got and got.err then
        -- The queue is new, or was flushed and filled again.
        if not string.find(got.err, '^NOGROUP') then return got end
        call('XGROUP', 'CREATE', key, GROUP, '0')
        got = call(unpack(read))
      end
      if not got then break end
      local entries = got[1][2]
      out[#out + 1] = lvl
      out[#out + 1] = entries
      want = want - #entries
      if want > 0 then
        for i = 1, #entries do
          local fields = entries[i][2]
          for j = 1, #fields do bytes = bytes + #fields[j] end
        end
        count = count + #entries
        if bytes >= BUDGET then
          want = 0
        elseif #entries < n then
          break
        end
        chunk = math.max(math.floor((BUDGET - bytes) * count / (bytes + 1)), 1)
      end
    end
    if want <= 0 then
      wake()
      break
    end
  end
end
return out
