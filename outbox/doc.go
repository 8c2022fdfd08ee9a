// Package outbox keeps jobs in a table of the application's own database until a relay has taken them
// to the broker: an application with its data in MySQL, MariaDB or SQLite writes a job in the transaction
// of its data, on whatever broker its workers are.
//
//	box, err := outbox.New(db, outbox.MySQL)
//	err = box.Migrate(ctx) // or run what Schema returns
//
//	tx, err := db.BeginTx(ctx, nil)
//	...
//	_, err = outbox.Enqueue(ctx, tx, box, orders, ConfirmOrder{ID: id})
//	...
//	err = tx.Commit()
//
// The job exists from the commit on, and never if the transaction is rolled back. Somewhere, in the same
// program or in one of its own, a relay runs:
//
//	relay, err := outbox.NewRelay(box, broker, outbox.RelayConfig{})
//	err = relay.Run(ctx)
//
// An application with its data in PostgreSQL needs neither: it uses driver/postgres and batch.EnqueueTx, and
// if its workers are on another broker, a mover, which is package move with Follow and Park. docs/outbox.md has
// both, and the data source name for each database.
//
// # What is promised
//
// Nothing is lost: a row is deleted when the broker has confirmed its job. A relay that dies between the
// two, or loses its lease, leaves both, and the next sends the job again. A broker that remembers what it has imported
// (driver.OnceImporter: the memory, Redis, NATS and PostgreSQL drivers), or the job's Unique key, does
// not store it again for as long as it remembers. On RabbitMQ and SQS the job is there twice, with the same
// ID, as after any delivery at least once: see docs/duplicates.md. What a replica lacks that takes over is lost together with
// the data of its transactions, and nothing else is, although the numbers of those rows come again.
//
// One relay works at a time, however many run: it holds a lease, which is a row of the table, by the
// database's clock. If it dies, another goes on when the lease has ended, or at once if that is more than 11 minutes away, as
// after the clock was set back. The jobs of a queue arrive about in the order in
// which they were written, and those of a group in that order exactly, as long as transactions that write
// to one group do not overlap. The isolation of transactions may be any: the relay sees what was committed, and
// waits for no transaction.
//
// A queue that the broker does not take, as for want of a right, rests and is tried again, and holds up no other.
//
// A job that the broker cannot keep, as one that is too large for it, is parked: it stays in the table with
// the reason, and is not in the way of others. [Box.Parked] lists such jobs, [Box.Retry] has them tried again
// and [Box.Discard] deletes them.
//
// # What it costs
//
// The writer pays an INSERT. The relay reads up to 100 rows of a queue, or 8 MB, in a statement, stores them on the broker in one
// request, if no two are of one group, and deletes them in a statement. Jobs of other queues cost it nothing meanwhile, however
// many wait. When
// there is nothing it looks once a second ([RelayConfig].Interval); [Relay.Wake] after a commit
// makes it look at once.
package outbox
