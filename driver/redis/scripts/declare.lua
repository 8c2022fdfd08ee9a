-- declare: makes the queue exist, or says what is in its way.
-- ARGV   1: the format's version
-- reply  empty, or what is declared differently
-- cost   O(1)
-- twice  finds the queue declared
--
-- The queue exists from now on, and the other scripts look at that. The streams and
-- their groups are made when the first job comes.
local types = { 'stream', 'stream', 'stream', 'stream', 'stream', 'zset', 'hash', 'hash', 'zset', 'stream', 'list', 'string', 'string', 'string', 'hash', 'stream', 'stream', 'stream', 'stream', 'stream' }
for i = 1, #types do
  local is = call('TYPE', KEYS[i]).ok
  if is ~= 'none' and is ~= types[i] then
    return 'key ' .. KEYS[i] .. ' holds a ' .. is .. ' instead of a ' .. types[i]
  end
end
local is = call('TYPE', token()).ok
if is ~= 'none' and is ~= 'list' then return 'key ' .. token() .. ' holds a ' .. is .. ' instead of a list' end
local format = call('HGET', META, 'format')
if format and format ~= ARGV[1] then
  return 'key ' .. META .. ' has format ' .. format .. ' instead of ' .. ARGV[1]
end
if not format then call('HSET', META, 'format', ARGV[1]) end
stock()
return ''
