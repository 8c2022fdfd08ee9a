package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

var (
	setPaused = newStatement(`UPDATE batch.queues SET paused = $2::boolean WHERE name = $1::text`)
	isPaused  = newStatement(`SELECT paused FROM batch.queues WHERE name = $1::text`)
	// awaitTakes waits for those who are handing out jobs: the next see that the queue is paused.
	awaitTakes = newStatement(`SELECT pg_advisory_xact_lock(('batch.queues'::regclass::oid::bigint - 2147483648)::integer, q.id) FROM batch.queues q WHERE q.name = $1::text`)
)

// Pause stops handing out jobs.
func (d *base) Pause(ctx context.Context, queue string) error {
	err := d.whole(ctx, d.mustExist(queue), step{setPaused, []any{queue, true}, nil})
	if err == nil {
		err = d.within(ctx, 0, []step{{awaitTakes, []any{queue}, nil}})
	}
	return fail("pause", queue, err)
}

// Resume lets jobs be handed out again.
func (d *base) Resume(ctx context.Context, queue string) error {
	err := d.whole(ctx, append([]step{d.mustExist(queue), {setPaused, []any{queue, false}, nil}}, d.ringing(queue)...)...)
	if err == nil {
		d.bell.local(queue)
	}
	return fail("resume", queue, err)
}

// Paused tells whether the queue is paused.
func (d *base) Paused(ctx context.Context, queue string) (bool, error) {
	var paused, found bool
	err := d.whole(ctx, step{isPaused, []any{queue}, func(rows pgx.Rows) error {
		found = true
		return rows.Scan(&paused)
	}})
	if err == nil && !found {
		err = faults.Refuse("paused", queue, driver.ErrNotFound, errNoQueue, "")
	}
	return paused, fail("paused", queue, err)
}
