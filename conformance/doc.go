// Package conformance checks that a driver keeps the contract of package driver
// on a real broker. The author of a driver runs it from a test:
//
//	func TestConformance(t *testing.T) {
//		conformance.Run(t, conformance.Harness{
//			Open: func(ctx context.Context) (driver.Driver, error) {
//				return redis.Open(ctx, "redis://localhost:6379")
//			},
//		})
//	}
//
// # Cases
//
// The suite is a table of named cases. Each checks one rule, which a failure
// prints. A case is a subtest, so that one of them can be run by itself:
//
//	go test -run 'TestConformance/redrive-one$'
//
// A case is also a value: [Cases] lists them and [Case.Run] runs one without
// package testing. The suite's own tests use this to check that a broken driver
// fails in the case that is made for its fault.
//
// Cases run at the same time on one broker, each on queues of its own that it
// deletes again. All run in one process: where a case needs two processes, it uses
// two drivers from Harness.Open.
//
// # Capabilities
//
// The cases of a capability run if the driver's type has it; they cannot be left
// out. For each capability that the type does not have, the suite compiles a
// program that uses it on this type, and fails unless the compiler refuses it for
// that reason. It also compiles a program without that use, which must succeed. At
// the end a summary, which go test prints with -v or after a failure, says which
// broker was tested, how many cases ran for each capability, and what was not
// tested. A capability that the type has and for which no case ran is a failure.
//
// With BATCH_CONFORMANCE_REPORT in the environment, each run in which all cases
// passed leaves a [Record] in the folder that it names, from which tables of
// capabilities are made.
//
// # Time
//
// A broker's time is real, so cases measure it: events are recorded with their time
// in a [History], and pure functions such as [ExactCover] and [NoOverlap] judge
// that. What must not be early is checked to the nanosecond, from before the
// call that began it. What must not be late may take Harness.Slack longer than
// promised, because the machine may be busy with something else. It must not be
// busy with the suite itself: the cases that judge time begin when those that do
// not are over, and those that keep a broker busy, or disturb it, run one by one
// at the end.
//
// Randomness comes from one seed, which a failure prints and which BATCH_SEED
// in the environment sets.
package conformance
