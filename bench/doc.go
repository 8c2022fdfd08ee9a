// Package bench measures batch against the raw clients of its brokers, in one
// run and as ratios, because absolute figures say more of the machine and of its
// neighbours than of the code:
//
//	make bench
//
// or, here, go test -run '^$' -bench . -benchtime 5x; -bench RabbitMQ is one
// broker. One iteration is one round of every contender, one after the other, so
// that all of them see the same weather. The brokers are those of the tests.
//
// Jobs have bodies of 256 bytes, go through the core, by a Queue and a Worker, and
// are durable and confirmed on both sides. The metrics:
//
//	batch/s       jobs per second of ours
//	raw/s         of a rival, the raw client
//	x-raw(>=0.7)  ours to the rival's, and what it should be at least
//	many/s        a second way of ours: many jobs to a call; many-x-raw is its ratio
//
// Nothing fails when a target is missed.
package bench
