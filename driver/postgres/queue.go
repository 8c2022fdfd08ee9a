package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

var (
	findQueue = newStatement(`SELECT id FROM batch.queues WHERE name = $1::text`)
	addQueue  = newStatement(`INSERT INTO batch.queues (name) VALUES ($1::text) ON CONFLICT (name) DO NOTHING`)
	lockQueue = newStatement(`SELECT pg_advisory_xact_lock(('batch.queues'::regclass::oid::bigint - 2147483648)::integer, $1::integer), pg_advisory_xact_lock(('batch.jobs'::regclass::oid::bigint - 2147483648)::integer, $1::integer)`)
	// lockRunning locks the jobs that transactions of the application may have locked without the lock of the queue.
	lockRunning = newStatement(`SELECT count(*) FROM (SELECT 1 FROM batch.jobs WHERE queue = $1::integer AND state = 'r' FOR UPDATE) r`)
	// limitLocks bounds the wait of a transaction for each lock.
	limitLocks  = newStatement(`SELECT set_config('lock_timeout', $1::text, true)`)
	dropQueue   = newStatement(`DELETE FROM batch.queues WHERE id = $1::integer`)
	dropJobs    = newStatement(`DELETE FROM batch.jobs WHERE queue = $1::integer`)
	dropDead    = newStatement(`DELETE FROM batch.dead WHERE queue = $1::integer`)
	dropKeys    = newStatement(`DELETE FROM batch.keys WHERE queue = $1::integer`)
	dropClaims  = newStatement(`DELETE FROM batch.claims WHERE queue = $1::integer`)
	dropEnded   = newStatement(`DELETE FROM batch.ended WHERE queue = $1::integer`)
	dropTallies = newStatement(`DELETE FROM batch.tallies WHERE queue = $1::integer`)
	listQueues  = newStatement(`SELECT name FROM batch.queues ORDER BY name`)

	// countJobs adds up the changes, and looks at the jobs of each level that are next for how long they wait.
	countJobs = newStatement(`SELECT t.waiting, t.scheduled, t.running, t.dead, t.rows,
			(SELECT count(*) FROM (SELECT 1 FROM batch.jobs j WHERE j.queue = q.id AND j.state = 's' AND j.due <= clock_timestamp() LIMIT 10001) d),
			(extract(epoch FROM clock_timestamp() - a.since) * 1000000)::bigint
		FROM batch.queues q
		CROSS JOIN LATERAL (SELECT coalesce(sum(waiting), 0)::bigint AS waiting, coalesce(sum(scheduled), 0)::bigint AS scheduled,
			coalesce(sum(running), 0)::bigint AS running, coalesce(sum(dead), 0)::bigint AS dead, count(*) AS rows
			FROM batch.tallies WHERE queue = q.id) t
		CROSS JOIN LATERAL (SELECT min(w.since) AS since FROM unnest('{2,1,0,-1,-2}'::smallint[]) AS l (level) CROSS JOIN LATERAL (
			SELECT j.since FROM batch.jobs j WHERE j.queue = q.id AND j.state = 'w' AND j.level = l.level ORDER BY j.pos LIMIT 100) w) a
		WHERE q.name = $1::text`)

	// foldTallies replaces the changes by their sums, if nobody else does.
	foldTallies = newStatement(`WITH mine AS MATERIALIZED (
			SELECT q.id FROM batch.queues q WHERE q.name = $1::text AND pg_try_advisory_xact_lock(('batch.tallies'::regclass::oid::bigint - 2147483648)::integer, q.id)
		), folded AS (
			DELETE FROM batch.tallies t USING mine WHERE t.queue = mine.id RETURNING t.*
		)
		INSERT INTO batch.tallies (queue, waiting, scheduled, running, dead)
		SELECT queue, sum(waiting), sum(scheduled), sum(running), sum(dead) FROM folded GROUP BY queue`)
)

// foldAt is from how many changes on a count folds them.
const foldAt = 500

// Declare makes the queue exist.
func (d *base) Declare(ctx context.Context, queue string) error {
	var found bool
	err := d.whole(ctx, step{findQueue, []any{queue}, func(pgx.Rows) error { found = true; return nil }})
	if err == nil && !found {
		err = d.whole(ctx, step{addQueue, []any{queue}, nil})
	}
	return fail("declare", queue, err)
}

// deletePatience is how long a deletion waits at most for a lock, with all others behind it, before it lets them go on.
const deletePatience = 8 * lockPause

// errBusy is what a deletion has waited for, and hintBusy what to do about it.
var errBusy = errors.New("calls are under way, or a transaction of the application is open that has stored or completed jobs of the queue")

const hintBusy = "delete the queue when that has ended: pg_stat_activity has the transactions that are open, by xact_start"

// DeleteQueue removes the queue with all that it holds, when the calls under way and the transactions of
// applications that have stored or completed jobs in it have ended. A call that waits for a lock holds up those that come
// later. So it waits for a moment only, as others must be able to go on beside a transaction that stays open, and longer
// between two tries.
func (d *base) DeleteQueue(ctx context.Context, queue string) error {
	const op = "delete queue"
	pause := lockPause
	busy, err := d.dropWithin(ctx, pause, queue)
	for isCode(err, codeLockTimeout) {
		pause = min(2*pause, deletePatience)
		if err = d.rest(ctx, 4*pause); err == nil {
			busy, err = d.dropWithin(ctx, pause, queue)
		}
	}
	if busy && ctx.Err() != nil && fault.IsNotSent(err) {
		return faults.Refuse(op, queue, ctx.Err(), errBusy, hintBusy)
	}
	return fail(op, queue, err)
}

// dropWithin is a try of DeleteQueue, which waits so long for each lock, and tells whether it has ended while others had one.
func (d *base) dropWithin(ctx context.Context, most time.Duration, queue string) (busy bool, err error) {
	err = d.inTx(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var id int32
		err := tx.QueryRow(ctx, d.text(findQueue), queue).Scan(&id)
		if err == pgx.ErrNoRows {
			return nil
		}
		if err == nil {
			_, err = tx.Exec(ctx, d.text(limitLocks), fmt.Sprint(most.Milliseconds()))
		}
		for _, s := range []statement{lockQueue, lockRunning, dropQueue, dropJobs, dropDead, dropKeys, dropClaims, dropEnded, dropTallies} {
			if err == nil {
				_, err = tx.Exec(ctx, d.text(s), id)
				busy = isCode(err, codeLockTimeout) || err != nil && (s == lockQueue || s == lockRunning)
			}
		}
		if err == nil && d.bell.audible() { // so that consumers see it
			_, err = tx.Exec(ctx, d.text(ringAll), d.schema, queue)
		}
		return err
	})
	return busy, err
}

// Depth adds up the changes of the counts.
func (d *base) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	const op = "depth"
	var depth driver.Depth
	var rows int64
	var found bool
	err := d.whole(ctx, step{countJobs, []any{queue}, func(r pgx.Rows) error {
		found = true
		var age *int64
		err := r.Scan(&depth.Waiting, &depth.Scheduled, &depth.Running, &depth.Dead, &rows, &depth.Due, &age)
		if age != nil {
			depth.Age = max(time.Duration(*age)*time.Microsecond, 0)
		}
		return err
	}})
	if err == nil && !found {
		err = faults.Refuse(op, queue, driver.ErrNotFound, errNoQueue, "")
	}
	if err == nil && rows > foldAt {
		_ = d.whole(ctx, step{foldTallies, []any{queue}, nil}) // the next count does, if this one cannot
	}
	if err != nil {
		return driver.Depth{}, fail(op, queue, err)
	}
	return depth, nil
}

// ListQueues lists the queues of the schema.
func (d *base) ListQueues(ctx context.Context) ([]string, error) {
	var names []string
	err := d.whole(ctx, step{listQueues, nil, func(rows pgx.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	}})
	if err != nil {
		return nil, fail("list queues", "", err)
	}
	return names, nil
}

// mustExist is a step that fails where the queue does not exist. A condition of another statement would not be enough:
// a table in which the server finds no row is asked none.
func (d *base) mustExist(queue string) step {
	return step{enterQueue, []any{queue}, nil}
}

// enterQueue fails where the queue does not exist, and keeps it until the transaction ends.
var enterQueue = newStatement(`SELECT batch.enter($1::text)`)
