-- due: the last part of receive, where jobs are scheduled: what is due is handed out too.
-- reply  that of receive
-- cost   that of receive
-- twice  as receive
local _, wait, mine = move(me, 500)
return receive(wait, mine)
