// Package pgxstore keeps the keys of package idempotency in a table of PostgreSQL, by pgx.
//
//	store, err := pgxstore.New(pool)
//	...
//	err = store.Migrate(ctx)
//	...
//	w := batch.NewWorker(d, batch.WorkerConfig{
//		Queues:     []batch.WorkerQueue{{Name: "payments"}},
//		Middleware: []batch.Middleware{idempotency.Middleware(store)},
//	})
//
// If the effect is in the same database, [Store.InTx] makes it happen exactly once: it is
// committed together with the mark, or neither is.
//
//	func (s *shop) pay(ctx context.Context, job *batch.Job[Pay]) error {
//		return s.store.InTx(ctx, func(tx pgx.Tx) error {
//			_, err := tx.Exec(ctx, `UPDATE ...`)
//			return err
//		})
//	}
//
// [Store.CompleteTx] does the same in a transaction of the handler's own. It marks the key:
// batch.CompleteTx, which ends the job itself, is for queues in the same database, and needs no
// store.
//
// The table is that of package sqlstore with its dialect for PostgreSQL, whose
// documentation says what is kept, how it is cleaned, which rights are needed and what is
// tried again: programs with one and with the other share it. Statements name the types of
// their parameters, so that they run in every mode of pgx, behind a pooler too.
package pgxstore
