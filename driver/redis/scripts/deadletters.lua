-- deadletters: moves dead letters back to waiting, or removes them, step by step.
-- ARGV   1: redrive or discard; 2: the entry ID to go on after; 3: the last entry
--        ID, or empty for the one that is last now; 4: how many entries to look
--        at; 5: "1" for all of them, else those with the job or entry IDs that follow
-- reply  how many were moved or removed; the entry ID to go on after, or empty at
--        the end; the last entry ID
-- cost   O(entries looked at and their fields), at most BYTES bytes and one job; + O(log
--        behind) in a group
-- twice  does not find what the first run moved
if missing() then return redis.error_reply(NOQUEUE) end
local redrive, count, all = ARGV[1] == 'redrive', tonumber(ARGV[4]), ARGV[5] == '1'
local want = {}
for i = 6, #ARGV do want[ARGV[i]] = true end
want[''] = nil -- by no name all that are unreadable would be meant
local last = ARGV[3]
if last == '' then
  local newest = call('XREVRANGE', DEAD, '+', '-', 'COUNT', 1)[1]
  last = newest and newest[1] or '0-0'
end
local entries, next = range(DEAD, '(' .. ARGV[2], last, count)
local moved = 0
local _, us = now()
for i = 1, #entries do
  local id, fields = entries[i][1], entries[i][2]
  -- An unreadable entry is named by its entry ID.
  if all or want[id] or want[name(get(fields, 'job'))] then
    if redrive then
      local lvl, grp = level(fields), get(fields, 'grp')
      local fresh = renew(fields, lvl, {})
      if grp then line(fresh, grp, us) else ready(lvl, fresh) end
    else
      free(fields)
    end
    call('XDEL', DEAD, id)
    moved = moved + 1
  end
end
if redrive and moved > 0 then wake() end
return { moved, next or '', last }
