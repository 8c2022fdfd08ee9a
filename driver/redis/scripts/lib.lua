-- lib: what the scripts share that store jobs or look for them. base stands in front of it.
--
-- What is added to a level's stream to name that of the jobs that came back.
local BACK = 15
-- How many bytes of jobs a script lets pass through Lua before it stops: then it keeps the
-- server for a few ms, however large they are. The job that goes beyond it is the last.
local BYTES = 1048576

-- now returns the server's time in whole ms, never ahead, and in microseconds.
local function now()
  local t = call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000), t[1] * 1000000 + t[2]
end

-- digits writes a whole number in full: Lua's own form has 14 digits only.
local function digits(n) return string.format('%.0f', n) end

-- token is the list of one token that producers copy to wake.
local function token() return string.sub(META, 1, -5) .. 'token' end -- META ends in "meta"

-- stock makes it, if the server has memory. O(1).
local function stock()
  if call('EXISTS', token()) == 0 then redis.pcall('RPUSH', token(), '1') end
end

-- raise raises an error that pcall caught. A text is put into a table: Lua would put the line
-- of the script in front of it, and a client tells errors by how they begin.
local function raise(err) error(type(err) == 'table' and err or { err = err }) end

-- get is the value of a field, or nil.
local function get(fields, name)
  for i = 1, #fields, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

-- name is the job's ID in a job field, or empty.
local function name(job) return string.match(job or '', '^[^ ]*') end

-- count is the value of a field, or nil, as a number, or 0 if it is none or none that can be.
local function count(text)
  local n = tonumber(text or 0)
  return n and n > -9007199254740992 and n < 9007199254740992 and n or 0
end

-- number is the field of this name as a number.
local function number(fields, name) return count(get(fields, name)) end

-- range is XRANGE of at most count entries that stops after BYTES bytes. It returns the
-- entries, and the ID of the last if there may be more, else nil. O(entries and their
-- fields).
local function range(key, from, last, count)
  local out, bytes, n = {}, 0, 1
  while #out < count and bytes < BYTES do
    n = math.min(n, count - #out)
    local got = call('XRANGE', key, from, last, 'COUNT', n)
    for i = 1, #got do
      out[#out + 1] = got[i]
      bytes = bytes + size(got[i][2])
    end
    if #got < n then return out, nil end
    from = '(' .. got[n][1]
    n = math.max(math.min(n * 8, math.floor((BYTES - bytes) * #out / (bytes + 1))), 1)
  end
  return out, out[#out] and out[#out][1]
end

-- level is the index of the stream that a job's pri field names.
local function level(fields)
  local pri = number(fields, 'pri')
  if pri < -2 or pri > 2 or pri ~= math.floor(pri) then return NORMAL end
  return NORMAL - pri
end

local HISTORY = {
  f = true, err = true, n = true, r = true, b = true, bs = true, pri = true, why = true, died = true, due = true,
}
local CORE = { job = true, body = true, grp = true }
local BARE = { job = true, body = true, grp = true, ct = true, dk = true, dt = true }

-- put appends a field.
local function put(fields, name, value)
  fields[#fields + 1] = name
  fields[#fields + 1] = value
end

-- renew returns the fields with the history h: n deliveries, r redeliveries, f
-- failures, err, b bounces, bs since when (as text, or nil), why, died. A foreign
-- entry with more fields than unpack can take keeps only those without which it is
-- no job. With bare it keeps only what a dead letter can be read and redriven by.
local function renew(fields, lvl, h, bare)
  local out, only = {}, bare and BARE or #fields > 2000 and CORE
  for i = 1, #fields, 2 do
    local name = fields[i]
    if not HISTORY[name] and (not only or only[name]) then
      out[#out + 1] = name
      out[#out + 1] = fields[i + 1]
    end
  end
  if lvl ~= NORMAL then put(out, 'pri', digits(NORMAL - lvl)) end
  if h.n and h.n > 0 then put(out, 'n', digits(h.n)) end
  if h.r and h.r > 0 then put(out, 'r', digits(h.r)) end
  if h.f and h.f > 0 then put(out, 'f', digits(h.f)) end
  if h.err and h.err ~= '' then put(out, 'err', h.err) end
  if h.b and h.b > 0 then put(out, 'b', digits(h.b)) end
  if h.bs and h.bs ~= '' then put(out, 'bs', h.bs) end
  if h.why then put(out, 'why', h.why) end
  if h.died then put(out, 'died', digits(h.died)) end
  if #out == 0 then put(out, 'job', '') end
  return out
end

-- history reads what renew wrote.
local function history(fields)
  local h = {}
  for i = 1, #fields, 2 do
    local name = fields[i]
    if HISTORY[name] and not h[name] then h[name] = fields[i + 1] end
  end
  return { n = count(h.n), r = count(h.r), f = count(h.f), err = h.err, b = count(h.b), bs = h.bs }
end

-- ready stores a job as waiting in a stream. O(1) amortized, as XADD is.
local function ready(stream, fields)
  local id = call('XADD', KEYS[stream], '*', unpack(fields))
  local grp = get(fields, 'grp')
  if grp then
    local set = redis.pcall('HSET', GROUPS, grp, stream .. ' ' .. id)
    if type(set) == 'table' and set.err then
      call('XDEL', KEYS[stream], id)
      error(set)
    end
  end
end

-- keep stores the fields of a job that is not in a stream and returns its member:
-- the time in microseconds, so that members sort by age, and a number. A clock that was
-- set back cannot overwrite one. The numbers go on for the whole script: each job would
-- step over all those before it otherwise. O(1), + O(those that an earlier script stored
-- in the same microsecond) once a script.
local kept = 0
local function keep(fields, us)
  local packed = cmsgpack.pack(fields)
  while true do
    local member = string.format('%017.0f.%04d', us, kept)
    kept = kept + 1
    if call('HSETNX', BODIES, member, packed) == 1 then return member end
  end
end

-- take undoes keep and returns the fields, and their bytes; nil if they are gone. What
-- does not unpack becomes a dead letter as it is.
local function take(member)
  local packed = call('HGET', BODIES, member)
  if not packed then return nil end
  call('HDEL', BODIES, member)
  local ok, fields = pcall(cmsgpack.unpack, packed)
  if ok and type(fields) == 'table' then return fields, #packed end
  call('XADD', DEAD, '*', 'body', packed, 'why', 'unreadable', 'died', digits((now())))
  return nil
end

-- forth takes a job and has store keep it elsewhere. It returns the job's bytes, or nil if it
-- is gone. If a key of the queue holds what it should not, the job is put back as it was, and
-- the error raised.
local function forth(member, store)
  local fields, bytes = take(member)
  if not fields then return nil end
  local ok, err = pcall(store, fields)
  if not ok then
    call('HSET', BODIES, member, cmsgpack.pack(fields))
    raise(err)
  end
  return bytes
end

-- now_ready stores a job as waiting in the stream of its level.
local function now_ready(fields) ready(level(fields), fields) end

-- earliest is when the first of due is due, as far as this script has looked.
local earliest

-- schedule holds a job back until due, in ms. If it is the new head, schedule
-- wakes a consumer, so that the timers are set anew. O(log scheduled).
local function schedule(fields, due, us)
  if not earliest then
    local head = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
    earliest = tonumber(head[2]) or math.huge
  end
  local member = keep(fields, us)
  local held = redis.pcall('ZADD', DUE, digits(due), member)
  local grp = get(fields, 'grp')
  if grp and not (type(held) == 'table' and held.err) then held = redis.pcall('HSET', GROUPS, grp, 'due ' .. member) end
  if type(held) == 'table' and held.err then
    redis.pcall('ZREM', DUE, member)
    call('HDEL', BODIES, member)
    error(held)
  end
  if due < earliest then
    earliest = due
    wake()
  end
end

-- follow makes the next job of a group ready, or ends the group. One that was
-- imported with a delay is held back until then. O(log behind) for each that it looks
-- at: one, unless bodies vanished, and then at most 500; recovery goes on.
local function follow(grp)
  for _ = 1, 500 do
    local found = call('ZRANGEBYLEX', BEHIND, '[' .. grp .. ' ', '(' .. grp .. '!', 'LIMIT', 0, 1)
    if not found[1] then
      call('HDEL', GROUPS, grp)
      return
    end
    call('ZREM', BEHIND, found[1])
    local ok, there = pcall(forth, string.sub(found[1], #grp + 2), function(fields)
      local lvl, due = level(fields), number(fields, 'due')
      if due > 0 then fields = renew(fields, lvl, history(fields)) end
      local ms, us = now()
      if due > ms then
        schedule(fields, due, us)
      else
        ready(lvl, fields)
        wake()
      end
    end)
    if not ok then
      call('ZADD', BEHIND, 0, found[1])
      raise(there)
    end
    if there then return end
  end
end

-- left tells a group that the job at this place is gone for good.
local function left(grp, place)
  if grp and call('HGET', GROUPS, grp) == place then follow(grp) end
end

-- line adds a job to its group: ready if it is the first, else behind. With due, in
-- ms, it is held back until then. O(log behind + log scheduled).
local function line(fields, grp, us, due)
  if call('HEXISTS', GROUPS, grp) == 0 then
    if due then schedule(fields, due, us) else ready(level(fields), fields) end
    return
  end
  if due then
    fields[#fields + 1] = 'due'
    fields[#fields + 1] = digits(due)
  end
  call('ZADD', BEHIND, 0, grp .. ' ' .. keep(fields, us))
end

-- free forgets the dedup key of a job that is removed before it ran to its end, if
-- that job still holds it. The key has the queue's hash tag, so a cluster keeps it
-- here. dt tells when the job took the key; an older version stored none, and then
-- the ID has to do. O(1).
local function free(fields)
  local key = get(fields, 'dk')
  if not key then return end
  key = string.sub(META, 1, -5) .. 'dedup:' .. key -- META ends in "meta"
  local held = redis.pcall('GET', key)
  if type(held) ~= 'string' then return end
  local stamp, id = string.match(held, '^(%d+) (.*)$')
  local since = get(fields, 'dt')
  if id == name(get(fields, 'job')) and (not since or since == stamp) then call('DEL', key) end
end

-- move makes what is due ready, at most limit jobs and BYTES bytes. It returns how many
-- there were, the ms until the next is due, or -1, and 1 if me is to keep the timer for
-- it: one consumer looks at that time, and the others a little later in case it died.
-- O(limit log scheduled), and O(1) if nothing is due.
local function move(me, limit)
  if call('EXISTS', DUE) == 0 then return 0, -1, 0 end
  local ms = now()
  local members = call('ZRANGEBYSCORE', DUE, '-inf', digits(ms), 'LIMIT', 0, limit)
  local n, bytes = 0, 0
  while n < #members and bytes < BYTES do
    local ok, size = pcall(forth, members[n + 1], now_ready)
    if not ok then
      if n > 0 then call('ZREM', DUE, unpack(members, 1, n)) end
      raise(size)
    end
    n = n + 1
    bytes = bytes + (size or 0)
  end
  if n > 0 then call('ZREM', DUE, unpack(members, 1, n)) end
  local head = call('ZRANGE', DUE, 0, 0, 'WITHSCORES')
  if not head[1] then return n, -1, 0 end
  local score = tonumber(head[2])
  local wait = math.max(score - ms, 0)
  local timer = call('GET', TIMER)
  if timer then
    local at, who = string.match(timer, '^(%d+) (.+)$')
    at = tonumber(at)
    if at == score and who == me then return n, wait, 1 end
    if at and who ~= me and at <= score and at >= ms then return n, wait, 0 end
  end
  -- A server at its maxmemory refuses this if it is the script's first write, and
  -- jobs are to be handed out nevertheless.
  redis.pcall('SET', TIMER, digits(score) .. ' ' .. me, 'PX', digits(wait + 1000))
  return n, wait, 1
end

-- forbidden raises an error that pcall caught if the user lacks a right: nothing else
-- would tell of it.
local function forbidden(err)
  if string.find(fault(err), 'ACL failure', 1, true) then raise(err) end
end

-- group returns the XINFO GROUPS entry of our group as a table, or nil if the
-- stream or the group does not exist. O(groups), which is one.
local function group(key)
  local all = redis.pcall('XINFO', 'GROUPS', key)
  if all.err then
    forbidden(all)
    return nil
  end
  for i = 1, #all do
    local info = {}
    for j = 1, #all[i], 2 do info[all[i][j]] = all[i][j + 1] end
    if info.name == GROUP then return info end
  end
end

-- after tells whether stream ID a is after b.
local function after(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  am, as, bm, bs = tonumber(am), tonumber(as), tonumber(bm), tonumber(bs)
  return am > bm or (am == bm and as > bs)
end
