-- nudge: puts back a token that was taken for a call that ended.
-- reply  0
-- cost   O(1)
-- twice  there is one token at most
wake()
return 0
