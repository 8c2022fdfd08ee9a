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
//	go test -run 'TestConformance/^redrive-one$'
//
// A case is also a value: [Cases] lists them and [Case.Run] runs one without
// package testing. The suite's own tests use this to check that a broken driver
// fails in the case that is made for its fault.
//
// Cases run at the same time on one broker, each on queues of its own that it
// deletes again. All run in one process: where a case needs two processes, it uses
// two drivers from Harness.Open.
//
// # Faults
//
// What a driver does when something fails is checked as far as the harness can make
// it fail. With two more fields the suite puts a proxy of its own before each handle, on
// which it cuts, holds back, delays and forgets connections, at every call if need be:
//
//	Addr: "localhost:6379",
//	OpenAt: func(ctx context.Context, addr string) (driver.Driver, error) {
//		return redis.Open(ctx, "redis://"+addr)
//	},
//
// Restart, Freeze, FreezeOne and Cut are for what a proxy cannot do. A handle with a
// network of its own stands for a process: one that is killed ends its connections after
// some call and makes no more, and one that is stopped is silent until it goes on. This
// can be done at every call in turn, and repeated by a seed, and needs nothing from
// the author; a signal to a real process could do neither. What is left to the
// tests of a driver that keeps something in its process or on its disk is what such a
// process leaves behind.
//
// What happens is recorded in a [History], which [Judge] and other pure functions judge: nothing
// that was confirmed is lost, nothing runs that is certainly not stored, each job that runs
// twice has a cause, attempts are counted, nothing is early, groups keep their order and
// keys are taken once.
//
// In the case fault-index a sample of all network calls of a scenario fails, one in each
// run of it, before or after the broker has it. With BATCH_CONFORMANCE_SOAK=1 in
// the environment all of them do, which takes minutes: give go test a -timeout.
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
// # Transactions
//
// A driver that is a driver.TxEnqueuer needs one more field, a function that begins a
// transaction as an application does:
//
//	Transactions: conformance.TransactionsOf(func(ctx context.Context) (pgx.Tx, conformance.TxEnd, error) { ... }),
//
// OtherTransactions is for those of another database, which the driver must refuse, and
// OpenOther for a driver there, whose deliveries it must refuse. The effects that are to happen once are jobs themselves, on a second queue, stored in the
// transaction that completes the job whose effect they are.
//
// # Time
//
// A broker's time is real, so cases measure it: events are recorded with their time
// in a [History], and pure functions such as [ExactCover] and [NoOverlap] judge
// that. What must not be early is checked to the nanosecond, from before the
// call that began it. What must not be late may take Harness.Slack longer than
// promised, because the machine may be busy with something else, and longer still by
// what the case itself measures: how late a timer of its own is. A case about time
// or leases that fails on a machine too slow to keep a lease is run again with longer
// leases, three times at most, and the summary says what failed; a failure says how late
// the machine was. It must not be busy with the suite itself: the cases that judge time begin when those that do
// not are over, and those that keep a broker busy, or disturb it, run one by one
// at the end.
//
// A call of the driver that does not return is named with the stack of its goroutine,
// after thirty times Harness.Slack, long before the time of its case is over.
//
// Randomness comes from one seed, which a failure prints and which BATCH_SEED
// in the environment sets.
//
// docs/conformance.md lists the rules, the sentences of package driver behind them, and
// the broken drivers and cores in this repository that each case is known to find.
package conformance
