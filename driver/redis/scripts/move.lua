-- move: makes due jobs ready, for a consumer whose timer fired.
-- ARGV   1: the consumer
-- reply  ms until the next job is due, or -1; 1 if its timer is this consumer's to
--        keep
-- cost   O(500 log scheduled)
-- twice  finds less to do
local moved, wait, mine = move(ARGV[1], 500)
if moved > 0 then wake() end
return { wait, mine }
