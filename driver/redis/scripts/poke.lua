-- poke: ends the BLPOP of a consumer.
-- KEYS   15: its poke list
-- reply  0
-- cost   O(1)
-- twice  leaves an element more, for a minute at most
call('RPUSH', KEYS[15], '1')
call('PEXPIRE', KEYS[15], 60000)
return 0
