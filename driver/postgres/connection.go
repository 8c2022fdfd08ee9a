package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// bind derives a context that also ends when the driver's calls are cut.
func (d *base) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	bound, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(d.cut, func() { cancel(driver.ErrClosed) })
	return bound, func() {
		stop()
		cancel(nil)
	}
}

// whole runs statements in one transaction and one round trip, and gives the rows of each to its reader,
// which is nil where there are none.
func (d *base) whole(ctx context.Context, steps ...step) error {
	return d.within(ctx, patience, steps)
}

// patience is how long the server may take for an answer, if nothing has to wait for a transaction of the
// application. A connection on which nothing passes any more costs that much.
const patience = 10 * time.Second

// within is whole that takes so long at most, or 0 for as long as ctx lasts.
func (d *base) within(ctx context.Context, most time.Duration, steps []step) error {
	if err := d.life.Begin(ctx); err != nil {
		return err
	}
	defer d.life.End()
	bound, release := d.bind(ctx)
	defer release()
	if most > 0 {
		limited, cancel := context.WithTimeout(bound, most)
		defer cancel()
		bound = limited
	}
	conn, err := d.pool.Acquire(bound)
	if err != nil {
		return fault.NotSent{Err: d.ended(ctx, err)}
	}
	defer conn.Release()
	var batch pgx.Batch
	if d.plain {
		steps = append([]step{{makeDurable, nil, nil}}, steps...)
	}
	for _, s := range steps {
		batch.Queue(d.text(s.statement), s.args...)
	}
	results := conn.SendBatch(bound, &batch)
	for _, s := range steps {
		if err = s.consume(results); err != nil {
			break
		}
	}
	// The last answer is that of the commit.
	if last := results.Close(); err == nil {
		err = last
	}
	return d.ended(ctx, err)
}

// makeDurable makes the confirmation of a transaction mean what it means on a connection of the driver's own.
var makeDurable = newStatement(`SELECT set_config('synchronous_commit', 'on', true)`)

// step is a statement of a transaction, with what reads its rows.
type step struct {
	statement statement
	args      []any
	read      func(pgx.Rows) error
}

// consume reads the rows of a step.
func (s *step) consume(results pgx.BatchResults) error {
	rows, err := results.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for s.read != nil && rows.Next() {
		if err := s.read(rows); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

// ended is what a call ended with: the end of its context, or of the driver, where that is why.
func (d *base) ended(ctx context.Context, err error) error {
	var pg *pgconn.PgError
	err = withoutConfig(err)
	if isCode(err, "25006") {
		// The connections are of a server that is no primary any more, or were made while its transactions
		// were read-only, and would be kept for as long as it answers. New ones may be of another.
		d.pool.Reset()
	}
	if isTooLoud(err) {
		d.bell.mute()
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.As(err, &pg):
		return fault.NotSent{Err: ctx.Err()} // the server gave the statement up
	case ctx.Err() != nil:
		if ctx.Err() == context.DeadlineExceeded {
			d.pool.Reset() // the others may be as dead
		}
		return ctx.Err()
	case d.cut.Err() != nil && !errors.As(err, &pg):
		return errCut
	case errors.Is(err, context.DeadlineExceeded): // of patience
		d.pool.Reset()
		return errSilent
	}
	return err
}

// ringing is a step that wakes all who wait for jobs of a queue, or none if nothing may ring.
func (d *base) ringing(queue string) []step {
	if !d.bell.audible() {
		return nil
	}
	return []step{{ringAll, []any{d.schema, queue}, nil}}
}

// text is a statement for the driver's schema.
func (d *base) text(s statement) string { return d.texts[s] }
