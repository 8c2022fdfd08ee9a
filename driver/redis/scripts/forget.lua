-- forget: forgets import keys.
-- KEYS   from 21: the keys
-- reply  0
-- cost   O(keys)
-- twice  changes nothing
if missing() then return redis.error_reply(NOQUEUE) end
for i = 21, #KEYS do call('DEL', KEYS[i]) end
return 0
