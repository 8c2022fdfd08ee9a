// Package sqlstore keeps the keys of package idempotency in a table of PostgreSQL, MySQL,
// MariaDB or SQLite, by database/sql, with the driver that the application uses anyway.
//
//	store, err := sqlstore.New(db, sqlstore.PostgreSQL)
//	...
//	err = store.Migrate(ctx)
//	...
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues:     []batch.WorkerQueue{{Name: "payments"}},
//		Middleware: []batch.Middleware{idempotency.Middleware(store)},
//	})
//
// # Effect and mark in one transaction
//
// If the effect is in the same database, [Store.InTx] makes it happen exactly once: it is
// committed together with the mark, or neither is.
//
//	func (s *shop) pay(ctx context.Context, job *batch.Job[Pay]) error {
//		return s.store.InTx(ctx, func(tx *sql.Tx) error {
//			_, err := tx.ExecContext(ctx, `UPDATE ...`)
//			return err
//		})
//	}
//
// A claim that was lost meanwhile fails it with [idempotency.ErrLost], and so does the
// transaction. [Store.CompleteTx] does the same in a transaction that the handler began
// itself, with an isolation level of its own perhaps. It marks the key: batch.CompleteTx, which
// ends the job itself, is for queues in the same database, and needs no store. One job is one such transaction:
// after the first the key is done, and a second delivery is skipped.
//
// The pool needs a connection for renewals while transactions hold others: a limit of one
// connection cancels handlers whose transactions take longer than the claim's TTL.
//
// # What is kept
//
// The table has a row for each key, with its token, whether it is done, and when that
// expires by the clock of the database: those of the programs do not count, and need not
// agree. After a failover the clock is that of another server. A claim or mark is as safe
// as what the database confirms: an asynchronous replica that takes over may lack the last.
//
// A key is any bytes. Of one longer than 255 bytes the first 224 and the SHA-256 of all are
// stored, since indexes have a limit.
//
// Tokens come from a sequence on PostgreSQL, and from an AUTO_INCREMENT and AUTOINCREMENT
// on MySQL and SQLite. They grow also when a row was deleted. To truncate or drop the
// table begins them anew on MySQL and SQLite; on PostgreSQL the sequence stays.
//
// # Cleaning
//
// The store cleans as it goes, so that nobody has to remember to: of the calls of Begin
// one in 64, by chance, first deletes up to 256 rows that have expired. So rows go faster
// than they come, and a Begin takes some milliseconds longer at worst. A row goes an hour after it expired (on SQLite at once), by an index; rows that others have locked
// are passed over. [Store.Sweep] removes a backlog at once.
//
// # Concurrency
//
// Any number of processes share a table. A Begin of a key that is held or done is a read
// that waits for nobody, also while a transaction has completed the claim and is open. On
// PostgreSQL all of Begin is one statement; on MySQL and SQLite a claim is a read and an
// insert. What a database ends because of others, a deadlock, a serialization failure, a
// lock that is not to be had, is tried again for up to ten seconds; after that it is the
// call's error, and nothing was changed. In a transaction of the application it is an error
// at once, as all of the transaction must be repeated: the handler returns it, and the job
// is retried.
//
// With REPEATABLE READ or SERIALIZABLE a transaction cannot complete a claim that was renewed
// after the transaction began, on PostgreSQL, and on MariaDB from 11.6 on, where REPEATABLE
// READ is the default. [Store.InTx] keeps renewals away for a third of the claim's TTL: choose
// one three times as long as transactions take. [idempotency.Quiet] does so for those of
// CompleteTx.
//
// # Databases
//
//   - PostgreSQL, by pgx or lib/pq, at any isolation level that is the default of the
//     database or of the transaction, and behind a pooler. Package pgxstore has the same
//     table without database/sql. Rights: SELECT, INSERT, UPDATE and DELETE on the table,
//     USAGE on the sequence, which has the table's name and _tokens after it.
//   - MySQL 8.0 and MariaDB 10.6 or newer, at any isolation level, with InnoDB and a binary log, if there is one, in
//     the format ROW or MIXED, one server at a time that takes writes, and sessions that commit by themselves, as they do without
//     autocommit=0: else calls fail with [ErrAutocommit]. Rights: SELECT,
//     INSERT, UPDATE and DELETE.
//   - SQLite, best with _pragma=journal_mode(WAL) and a busy_timeout, as one connection
//     writes at a time. A transaction that reads before it writes may end with SQLITE_BUSY:
//     begin those of InTx as writers, with _txlock=immediate. Its clock is that of the
//     machine, in milliseconds.
//
// [Store.Migrate] makes the table, and [Schema] is the SQL for those whose program may not.
package sqlstore
