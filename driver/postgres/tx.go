package postgres

import (
	"context"
	"database/sql"
	"errors"
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
			AND pg_advisory_xact_lock(('batch.ended'::regclass::oid::bigint - 2147483648)::integer, ($2::bigint % 2147483647)::integer) IS NOT NULL
			AND EXISTS (SELECT 1 FROM batch.meta m WHERE m.identity = $4::text::uuid AND current_database() = $5::text)
		RETURNING j.queue, j.grp
	), counted AS (
		INSERT INTO batch.tallies (queue, running) SELECT queue, -1 FROM gone
	), ended AS (
		INSERT INTO batch.ended (queue, grp) SELECT queue, grp FROM gone WHERE grp IS NOT NULL
	), rung AS (
		SELECT pg_notify('batch', $1::text) FROM gone WHERE grp IS NOT NULL AND $6::boolean AND ` + roomToRing + `
	)
	SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM rung),
		(SELECT count(*) FROM batch.meta m WHERE m.identity = $4::text::uuid AND current_database() = $5::text)`)

// TxType is pgx.Tx.
func (d *Driver) TxType() reflect.Type { return reflect.TypeFor[pgx.Tx]() }

// TxType is *sql.Tx.
func (d *SQLDriver) TxType() reflect.Type { return reflect.TypeFor[*sql.Tx]() }

// EnqueueTx stores messages as part of a transaction. Its notification comes with the commit, if it rings.
func (d *Driver) EnqueueTx(ctx context.Context, tx pgx.Tx, queue string, messages []*driver.Message) ([]driver.Result, error) {
	return d.enqueueTx(ctx, tx == nil, queue, messages, func(ctx context.Context, sent []*driver.Message) ([]refusal, error) {
		return d.storeIn(ctx, tx, queue, d.bell.audible() && d.bell.inTx.rings(queue), sent, isUntyped(tx))
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
	return d.enqueueTx(ctx, tx == nil, queue, messages, func(ctx context.Context, sent []*driver.Message) ([]refusal, error) {
		rows, err := tx.QueryContext(ctx, d.text(storeLiterals), literals(d.args(queue, true, d.bell.audible() && d.bell.inTx.rings(queue), d.columnsOf(sent)))...)
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
func (d *base) enqueueTx(ctx context.Context, without bool, queue string, messages []*driver.Message, store func(context.Context, []*driver.Message) ([]refusal, error)) ([]driver.Result, error) {
	const op = "enqueue"
	if len(messages) == 0 {
		return nil, nil
	}
	index := make([]int, len(messages))
	for i, m := range messages {
		if err := checkNew(op, queue, m); err != nil {
			return nil, err
		}
		index[i] = i
	}
	if err := d.life.Begin(ctx); err != nil {
		return nil, fail(op, queue, err)
	}
	defer d.life.End()
	if without {
		return nil, faults.Refuse(op, queue, driver.ErrConfig, errNoTx, "")
	}
	sent, index, left := leaveTwins(append([]*driver.Message(nil), messages...), index)
	refused, err := store(ctx, sent)
	if isCode(err, codeNoQueue) && d.hasQueue(ctx, queue) {
		return nil, faults.Refuse(op, queue, driver.ErrUnavailable, errEarly, "begin it again")
	}
	if err != nil {
		return nil, failTx(ctx, op, queue, err)
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

// errEarly says that a transaction sees the database as it was before the queue was made, as with REPEATABLE READ.
var errEarly = errors.New("the transaction began before the queue was made")

// hasQueue tells whether a queue exists by now, as far as can be found out.
func (d *base) hasQueue(ctx context.Context, queue string) (found bool) {
	_ = d.whole(ctx, step{findQueue, []any{queue}, func(pgx.Rows) error { found = true; return nil }}) // else it is not found
	return found
}

// CompleteTx removes the job of a delivery as part of a transaction.
func (d *Driver) CompleteTx(ctx context.Context, tx pgx.Tx, delivery *driver.Delivery) error {
	return d.completeTx(ctx, tx == nil, delivery, func(text string, args ...any) interface{ Scan(...any) error } {
		return tx.QueryRow(ctx, text, args...)
	})
}

// CompleteTx removes the job of a delivery as part of a transaction.
func (d *SQLDriver) CompleteTx(ctx context.Context, tx *sql.Tx, delivery *driver.Delivery) error {
	return d.completeTx(ctx, tx == nil, delivery, func(text string, args ...any) interface{ Scan(...any) error } {
		return tx.QueryRowContext(ctx, text, args...)
	})
}

// completeTx is CompleteTx, with what runs a query in the transaction.
func (d *base) completeTx(ctx context.Context, without bool, delivery *driver.Delivery, query func(text string, args ...any) interface{ Scan(...any) error }) error {
	const op = "complete"
	r, ok := receiptOf(delivery)
	if !ok {
		return faults.LeaseLost(op, "")
	}
	if err := d.life.Begin(ctx); err != nil {
		return fail(op, r.queue, err)
	}
	defer d.life.End()
	if without {
		return faults.Refuse(op, r.queue, driver.ErrConfig, errNoTx, "")
	}
	if err := d.foreign(op, r); err != nil {
		return err
	}
	var gone, rung, ours int
	err := query(d.text(completeJob), r.queue, r.seq, r.token, uuidText(d.identity), d.database, d.bell.audible()).Scan(&gone, &rung, &ours)
	switch {
	case err != nil:
		return failTx(ctx, op, r.queue, err)
	case ours == 0:
		return faults.Refuse(op, r.queue, driver.ErrConfig, errElsewhere, hintElsewhere)
	case gone == 0:
		return faults.LeaseLost(op, r.queue)
	}
	return nil
}

// errRollback ends a transaction that is not to be committed.
var errRollback = errors.New("rolled back")

// TryTx stores messages in a transaction of the driver's own.
func (d *base) TryTx(ctx context.Context, queue string, messages []*driver.Message, commit bool) error {
	const op = "enqueue"
	for _, m := range messages {
		if err := checkNew(op, queue, m); err != nil {
			return err
		}
	}
	err := d.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, err := d.storeIn(ctx, tx, queue, d.bell.audible() && d.bell.inTx.rings(queue), messages, false)
		if err == nil && !commit {
			err = errRollback
		}
		return err
	})
	if errors.Is(err, errRollback) {
		return nil
	}
	return failOwn(op, queue, err)
}

// failTx makes a driver error of what a call within a transaction ended with. Without the commit, of which
// nothing was sent, there is nothing.
func failTx(ctx context.Context, op, queue string, err error) error {
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return fail(op, queue, fault.NotSent{Err: withoutConfig(err)})
}
