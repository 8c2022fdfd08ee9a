// Package movers has the tests of package move on real brokers: queues are moved from each kind of
// broker to each other by processes that are killed, while workers of the source go on, with handlers that
// fail. Nothing may be lost, and where the target remembers what it has imported nothing doubled.
//
//	go test ./internal/soak/movers                                        a ring of brokers, 300 jobs each
//	go test ./internal/soak/movers -movers.all -movers.jobs=6000 -movers.kills=3 -timeout 4h -v
//
// The second prints the table of docs/reliability.md.
package movers
