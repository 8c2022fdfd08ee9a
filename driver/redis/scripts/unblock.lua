-- unblock: ends the BLPOP of a consumer that stops.
-- KEYS   21: the list of its own on which it waits too
-- reply  0
-- cost   O(1)
-- twice  adds a second element, which stays for a minute at most
call('RPUSH', KEYS[21], '1')
call('PEXPIRE', KEYS[21], 60000)
return 0
