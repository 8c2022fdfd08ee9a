// Package bench measures batch against the raw clients of its brokers, in one
// run and as ratios, because absolute figures say more of the machine and of its
// neighbours than of the code:
//
//	make bench
//
// or, here, go test -run '^$' -bench . -benchtime 5x. One iteration is one round
// of every contender, one after the other, so that all of them see the same
// weather. The brokers are those of the tests.
package bench
