-- receive: hands out jobs to a consumer.
-- KEYS   21: the name that a stream has while the client reads it (bulk)
-- ARGV   1: how many at most; 2: the consumer; 3: how many to read before
--        looking at their size; 4: the index of the stream for bulk, or 0. Or
--        only 1: "back" and 2: that index, to end bulk
-- reply  ms until the next job is due, or -1; 1 if its timer is this consumer's to
--        keep; then for each stream that gave jobs its index and its entries
-- cost   O(jobs handed out) + O(500 log scheduled) while jobs are due; on an
--        idle queue of one level three commands, and else a constant dozen
-- twice  hands out other jobs; those of a reply that was lost come back when
--        their lease ends
--
-- Levels are read strictly from the highest, and of each first the jobs that came back. The pause and what is due are part of
-- this one step, so no job slips past another or past a pause. One XREADGROUP over
-- all streams would not do: its COUNT is for each stream.
--
-- Bulk: entries that pass through Lua cost the server 1.7 times what a plain
-- XREADGROUP does. So the client may send, in one MULTI, this script, XREADGROUP
-- on KEYS[21], and this script with "back". If it is the turn of the stream that
-- the client names, and no higher one gave anything, the first renames it to
-- KEYS[21] and the last names it back; if not, the XREADGROUP finds no such key.
-- No other command sees the name: MULTI is one step, in the append-only file too.
-- It is one script, as of two SCRIPT FLUSH could leave only one loaded.
--
-- It goes on behind lib, in due, if jobs are scheduled.
if ARGV[1] == 'back' then
  if call('EXISTS', KEYS[21]) == 1 then
    call('RENAME', KEYS[21], KEYS[tonumber(ARGV[2])])
    wake()
  end
  return 0
end

if missing() then return redis.error_reply(NOQUEUE) end
local want, me, chunk, bulk = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local BUDGET = 8388608 -- bytes that one reply aims to stay below

-- read is the reply, with the jobs of the streams that order names. wait and mine are its first two.
local function read(order, wait, mine)
  local out = { wait, mine }
  local count, bytes = 0, 0
  for o = 1, #order do
    local stream = order[o]
    local key = KEYS[stream]
    if stream == bulk and #out == 2 and call('EXISTS', key) == 1 then
      call('RENAME', key, KEYS[21])
      break
    end
    if call('XLEN', key) > 0 then
      local args = { 'XREADGROUP', 'GROUP', GROUP, me, 'COUNT', 0, 'STREAMS', key, '>' }
      while want > 0 do
        local n = math.min(want, chunk)
        args[6] = n
        local got = redis.pcall(unpack(args))
        if got and got.err then
          -- The queue is new, or the server was flushed and the queue filled again.
          if not string.find(got.err, '^NOGROUP') then return got end
          call('XGROUP', 'CREATE', key, GROUP, '0')
          got = call(unpack(args))
        end
        if not got then break end
        local entries = got[1][2]
        out[#out + 1] = stream
        out[#out + 1] = entries
        want = want - #entries
        if want > 0 then
          for i = 1, #entries do
            bytes = bytes + size(entries[i][2])
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
end

-- receive is the reply, unless the queue is paused.
local function receive(wait, mine)
  if call('EXISTS', PAUSED) == 1 then return { wait, mine } end
  if call('EXISTS', KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20]) > 0 then
    return read({ 16, 1, 17, 2, 18, 3, 19, 4, 20, 5 }, wait, mine)
  end
  return read({ 1, 2, 3, 4, 5 }, wait, mine)
end

-- Most queues have one level, and no job is scheduled or came back.
if call('EXISTS', DUE, PAUSED, KEYS[1], KEYS[2], KEYS[4], KEYS[5], KEYS[16], KEYS[17], KEYS[18], KEYS[19], KEYS[20]) == 0 then
  return read({ NORMAL }, -1, 0)
end
if call('EXISTS', DUE) == 0 then return receive(-1, 0) end

