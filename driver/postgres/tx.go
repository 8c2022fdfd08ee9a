package postgres

import (
	"context"
	"database/sql"
	"reflect"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// completeJob removes a job that is held.
var completeJob = newStatement(`WITH gone AS (
		DELETE FROM batch.jobs j USING batch.queues q
		WHERE q.name = $1::text AND j.queue + 0 = q.id AND j.seq = $2::bigint AND j.token = $3::bigint AND j.state::text = 'r' -- see heldJobs
			-- By this lock others know that it is a transaction of the application that has the row.
			AND pg_advisory_xact_lock('batch.ended'::regclass::oid::bigint::integer, ($2::bigint % 2147483647)::integer) IS NOT NULL
			AND EXISTS (SELECT 1 FROM batch.meta m WHERE m.identity = $4::text::uuid)
		RETURNING j.queue, j.grp
	), counted AS (
		INSERT INTO batch.tallies (queue, running) SELECT queue, -1 FROM gone
	), ended AS (
		INSERT INTO batch.ended (queue, grp) SELECT queue, grp FROM gone WHERE grp IS NOT NULL
	), rung AS (
		SELECT pg_notify('batch', $1::text) FROM gone WHERE grp IS NOT NULL
	)
	SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM rung)`)

// TxType is pgx.Tx.
func (d *Driver) TxType() reflect.Type { return reflect.TypeFor[pgx.Tx]() }

// TxType is *sql.Tx.
func (d *SQLDriver) TxType() reflect.Type { return reflect.TypeFor[*sql.Tx]() }

// EnqueueTx stores messages as part of a transaction. Its notification comes with the commit, if it rings.
func (d *Driver) EnqueueTx(ctx context.Context, tx pgx.Tx, queue string, messages []*driver.Message) ([]driver.Result, error) {
	return d.enqueueTx(ctx, queue, messages, func(ctx context.Context, sent []*driver.Message) ([]refusal, error) {
		return d.storeIn(ctx, tx, queue, d.bell.inTx.rings(queue), sent, isUntyped(tx))
	})
}

// isUntyped tells whether the connection of a transaction does not ask the server for the types of parameters,
// as applications have it behind a pooler.
func isUntyped(tx pgx.Tx) bool {
	conn := tx.Conn()
	if conn == nil {
		return false
	}
	mode := conn.Config().DefaultQueryExecMode
	return mode == pgx.QueryExecModeExec || mode == pgx.QueryExecModeSimpleProtocol
}

// EnqueueTx stores messages as part of a transaction. Its notification comes with the commit, if it rings.
func (d *SQLDriver) EnqueueTx(ctx context.Context, tx *sql.Tx, queue string, messages []*driver.Message) ([]driver.Result, error) {
	return d.enqueueTx(ctx, queue, messages, func(ctx context.Context, sent []*driver.Message) ([]refusal, error) {
		rows, err := tx.QueryContext(ctx, d.text(storeJobs), literals(d.args(queue, true, d.bell.inTx.rings(queue), d.columnsOf(sent)))...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var refused []refusal
		for rows.Next() {
			r, err := scanRefusal(rows, len(sent))
			if err != nil {
				return nil, err
			}
			refused = append(refused, r)
		}
		return refused, rows.Err()
	})
}

// enqueueTx is EnqueueTx, with what stores messages in the transaction.
func (d *base) enqueueTx(ctx context.Context, queue string, messages []*driver.Message, store func(context.Context, []*driver.Message) ([]refusal, error)) ([]driver.Result, error) {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil, nil
	}
	index := make([]int, len(messages))
	for i, m := range messages {
		if err := faults.CheckDelay(op, queue, m, maxDelay); err != nil {
			return nil, err
		}
		index[i] = i
	}
	if err := d.life.Begin(ctx); err != nil {
		return nil, fail(op, queue, err)
	}
	defer d.life.End()
	sent, index, left := leaveTwins(append([]*driver.Message(nil), messages...), index)
	refused, err := store(ctx, sent)
	if err != nil {
		// Without the commit, of which nothing was sent, there is nothing.
		return nil, fail(op, queue, fault.NotSent{Err: d.ended(ctx, err)})
	}
	if len(refused) == 0 && len(left) == 0 {
		return nil, nil
	}
	results := make([]driver.Result, len(messages))
	for _, r := range refused {
		results[index[r.index]] = driver.Result{Duplicate: true, DuplicateOf: textOf(r.of)}
	}
	left.answer(messages, results)
	return results, nil
}

// CompleteTx removes the job of a delivery as part of a transaction.
func (d *Driver) CompleteTx(ctx context.Context, tx pgx.Tx, delivery *driver.Delivery) error {
	return d.completeTx(ctx, delivery, func(text string, args ...any) (n int, err error) {
		err = tx.QueryRow(ctx, text, args...).Scan(&n, new(int))
		return n, err
	})
}

// CompleteTx removes the job of a delivery as part of a transaction.
func (d *SQLDriver) CompleteTx(ctx context.Context, tx *sql.Tx, delivery *driver.Delivery) error {
	return d.completeTx(ctx, delivery, func(text string, args ...any) (n int, err error) {
		err = tx.QueryRowContext(ctx, text, args...).Scan(&n, new(int))
		return n, err
	})
}

// completeTx is CompleteTx, with what runs a query in the transaction.
func (d *base) completeTx(ctx context.Context, delivery *driver.Delivery, query func(text string, args ...any) (int, error)) error {
	const op = "complete"
	r, ok := receiptOf(delivery)
	if !ok {
		return faults.LeaseLost(op, "")
	}
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, r.queue, err)
	}
	defer d.life.End()
	n, err := query(d.text(completeJob), r.queue, r.seq, r.token, uuidText(d.identity))
	if err != nil {
		return fail(op, r.queue, fault.NotSent{Err: d.ended(ctx, err)})
	}
	if n == 0 {
		return faults.LeaseLost(op, r.queue)
	}
	return nil
}
