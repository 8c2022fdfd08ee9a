// Package movers has the tests of package move on real brokers: queues are moved from each kind of
// broker to each other by processes that are killed, while workers of the source go on, with handlers that
// fail. Nothing may be lost, and where the target remembers what it has imported nothing doubled.
//
//	go test ./internal/soak/movers     a ring of brokers, 300 jobs each
//	make moves                         each to each, 6000 jobs and three kills each
//
// The second prints the table of docs/reliability.md.
package movers
