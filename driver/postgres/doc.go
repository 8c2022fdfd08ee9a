// Package postgres is the driver for PostgreSQL 14 and newer: jobs are rows of the
// application's own database. It has every capability, transactions included: a job
// and the data that it is about are committed together.
//
//	d, err := postgres.Open(ctx, "postgres://user:password@host/database")
//	orders := batch.NewQueue(d, "orders")
//
//	tx, err := pool.Begin(ctx) // of the application
//	...
//	_, err = batch.EnqueueTx(ctx, tx, orders, Confirm{Order: id})
//	...
//	err = tx.Commit(ctx)
//
// # URL
//
//	postgres://user:password@host:port,host:port/database?parameter=value
//
// postgresql:// is the same. With several hosts, target_session_attrs=read-write finds
// the primary. The parameters of the driver:
//
//   - schema: the schema that has the queues, made for them alone. Defaults to batch.
//     Lower-case letters, digits and underscores. A role of the same name has it first in its
//     search_path, by the server's default of "$user", public: the tables that the role makes
//     without naming a schema are in there then.
//   - pool_size: how many connections the driver opens at most, 2 to 1000, and one more
//     that listens. Defaults to 10. A Receive that waits holds none.
//   - dedup_window: how long a key is remembered if its message does not say. Defaults
//     to 24h.
//   - migrate: false keeps Open from making or changing the schema. Defaults to true.
//
// Those of libpq that are read: sslmode, sslrootcert, sslcert, sslkey, sslpassword,
// sslsni, channel_binding, target_session_attrs, connect_timeout, application_name. Any
// other is refused.
//
// # Transactions
//
// [Driver] takes transactions of pgx, and [SQLDriver] those of database/sql, by pgx's
// own package for it, lib/pq or another. [Driver.SQL] makes the one of the other.
//
// What a transaction stores is one statement in it, and holds the locks of that: a
// shared one on the queue, for which only its deletion waits, and one for each [batch.Unique]
// key, for which others with the same key wait until the transaction ends: then they are
// duplicates, or stored. The deletion of a queue tries again and again, and holds up other
// calls on the queue for 0.4 s at most each time. Two transactions that wait for keys of each other are a deadlock,
// which the server ends within deadlock_timeout: one fails with ErrUnavailable and is to
// be tried again as a whole. Keys within one call are taken in an order of their own, so
// that calls alone make none. A group takes no lock. A transaction that was told of a
// duplicate keeps nobody from deleting or purging the job that has the key.
//
// The server has a table of one size for the locks of all. So a transaction has up to 1000
// keys, or an eighth of max_locks_per_transaction * (max_connections +
// max_prepared_transactions) if that is more, duplicates included. A call with which it would
// have more is ErrConfig and stores nothing: commit in between, or raise
// max_locks_per_transaction, as also for many such transactions at a time: 6 of 1000 keys fit
// by the server's defaults.
//
// An enqueue without a transaction waits too for a key that an open one has, and looks
// again after 100 ms at most. It holds up no other job, and takes no connection meanwhile.
//
// A transaction of another database is refused, a copy of the driver's included: it has
// another name. So is a delivery of another database or schema. One on another server with
// the same name and the same schema, as a restored backup has, is not told apart.
//
// With READ COMMITTED, the default, everything holds that the documentation of package
// batch says. With REPEATABLE READ and SERIALIZABLE too, but a call may fail with a
// serialization failure, ErrUnavailable with the code 40001, as any statement may: a key
// that another has taken since the transaction began, or a job whose lease was extended
// since then. The transaction is to be tried again.
//
// What a transaction stores notifies at its commit, so that it cannot be prepared for a
// commit in two phases (PREPARE TRANSACTION).
//
// After an error the server takes nothing of the transaction but its rollback, to a
// savepoint at least.
//
// # What is confirmed
//
// An operation is one transaction, with synchronous_commit on: what is confirmed is on
// the disk of the primary, and on those of synchronous_standby_names. A connection that
// is lost before the answer leaves open what was done; an error of the server says that
// nothing was. In a transaction of the application, the application's settings count.
//
// # Order
//
// Jobs of a level are handed out in the order in which they became ready: by enqueue, by
// the end of a delay or by a redrive. One that is released, or whose lease ended, goes
// back to its place. A transaction's jobs have the places of when they were enqueued and
// are there from the commit on. A job of a group keeps its place through retries, and
// is handed out when those of its group before it are done or dead.
//
// # Leases
//
// A lease ends by the server's clock. A delivery is fenced by a token: as long as nobody
// else was handed the job, it may be settled also after its lease. Redeliveries counts
// the leases that ended. A row that a transaction has locked by CompleteTx is left
// alone: Extend counts it as held, and Settle says ErrUnavailable.
//
// # Pick-up
//
// An enqueue notifies (LISTEN and NOTIFY), so that a worker that waits has the job after
// a round trip. Notifications take a lock of the whole server at their commit, so a
// process rings at most every 10 ms for a queue; a worker that was busy a moment ago looks
// again by itself after 25 ms. So do transactions: the first of 10 ms notifies with its commit,
// and for others the driver does, 10 ms after the last. A job whose transaction commits later
// than that, while the first did not commit, is picked up within half a second. What no notification tells, one that was lost, delays and
// lost leases, is found by one statement every half second for all queues of a driver.
// While the server's queue of notifications is half full, as a session that listens has a transaction open for long, nothing
// notifies: when it is full, the commit of every transaction that does fails.
//
// # Poolers
//
// Behind a pooler in transaction mode, as PgBouncer, the driver prepares no statements
// and listens to nothing: pick-up takes up to half a second on an idle queue. Open sees
// by itself that there is one.
//
// # Schema and rights
//
// Open makes the schema and brings it up to date, under a lock, in one transaction, if
// the role may. Otherwise a role that may runs [Migrate], or what [Schema] returns, and the
// role of the program needs USAGE on the schema and on its sequence, SELECT, INSERT,
// UPDATE and DELETE on its tables, and EXECUTE on its functions, which everybody has by
// default. A schema of a newer version than the program's is refused.
//
// While the transactions of the role or the server are read-only, and while the server is a
// replica, calls fail with ErrUnavailable, and go on by themselves when that is over. A
// schema that a newer program has changed while this one runs serves it as far as it can;
// what it lacks then is ErrConfig.
//
// Not opened: a read replica, a database whose transactions are read-only by default, a
// server before version 14.
//
// # Cost
//
// A job is a row that is inserted, updated once when it is handed out, and deleted when it
// is done: finished jobs leave nothing. Enqueue and Settle are one round trip for up to
// 1000 jobs, and so is Receive. The table of jobs has settings of its own for autovacuum,
// which begins at 1000 dead rows and does not pause. A transaction that is open for long,
// anywhere in the database, keeps vacuum from removing what ended since, and slows the
// hand-out down: watch pg_stat_activity.xact_start.
//
// Depth adds up changes that every statement notes, and does not count rows. Find and
// Delete read the queue's rows.
//
// The tables are described in docs/wire-postgres.md.
package postgres

// Name is the driver's name, and the scheme of its URLs.
const Name = "postgres"
