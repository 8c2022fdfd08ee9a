-- pass: passes on a token that its taker has no use for.
-- reply  0
-- cost   O(1)
-- twice  finds the token
if not missing() then wake() end
return 0
