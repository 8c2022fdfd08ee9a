// Package movers has the tests of package move on real brokers: queues are moved from each kind of
// broker to each other by processes that are killed while jobs are in their hands, while producers and workers of the
// source go on, with handlers that fail. Nothing may be lost, nothing may be done twice with the middleware of package
// idempotency, and what the target remembers that it has imported may not be doubled.
//
//	go test ./internal/soak/movers     a ring of brokers, 300 jobs and a kill each, but for the one from SQS
//	make moves                         each to each, 6000 jobs and three kills each
//
// The second prints the table of docs/reliability.md. What random choices there are come from the seed that a test prints, and
// -movers.seed repeats them.
//
// A broker in the memory of the process cannot be reached from another. Its mover is one in this process then: when it is killed,
// nothing that it does with jobs reaches the source any more, and what it has received stays held until its lease ends.
package movers
