package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// takeJobs hands out jobs, and lookAhead tells whether there are more, and when the next that is held
// back or held becomes ready.
var (
	takeJobs  = newStatement(`SELECT seq, token, lost,` + jobColumns + `FROM batch.take($1::text, $2::integer, $3::bigint * interval '1 millisecond')`)
	lookAhead = newStatement(`SELECT more, ended, next FROM batch.look_ahead($1::text)`)
	untake    = newStatement(held() + `, back AS (
		UPDATE batch.jobs j SET state = 'w', due = NULL, token = NULL, since = clock_timestamp(), deliveries = j.deliveries - 1
		WHERE j.seq = ` + heldOnes + ` RETURNING j.queue
	)
	INSERT INTO batch.tallies (queue, running, waiting) SELECT queue, -count(*), count(*) FROM back GROUP BY queue`)
	followGroups = newStatement(`SELECT batch.follow($1::text)`)
)

// fetched is what one look at the queue brought.
type fetched struct {
	deliveries []*driver.Delivery
	more       bool          // others may be handed out at once
	next       time.Duration // when to look again
	err        error
}

// Receive takes what there is, or waits for the first.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if err := faults.CheckReceive(c.queue, max, maxBatch); err != nil {
		return nil, err
	}
	if err := c.begin(ctx); err != nil {
		return nil, fail(op, c.queue, err)
	}
	defer c.calls.Exit()
	if !c.receives.Enter() {
		return nil, closed(op, c.queue)
	}
	defer c.receives.Exit()
	for looks := 0; ; looks++ {
		signal := c.waker.signal()
		f := c.look(ctx, max)
		if f.err != nil {
			return nil, fail(op, c.queue, f.err)
		}
		if len(f.deliveries) > 0 {
			c.waker.busy()
			return f.deliveries, nil
		}
		pause := c.waker.pause(f.next)
		if f.more { // jobs of groups that are behind others, or that somebody else looks at
			pause = min(pause, time.Duration(looks%10)*time.Millisecond)
		}
		if err := c.wait(ctx, signal, pause); err != nil {
			return nil, fail(op, c.queue, err)
		}
	}
}

// wait waits until something may have come.
func (c *consumer) wait(ctx context.Context, signal <-chan struct{}, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-signal:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	case <-c.stopped:
		return driver.ErrClosed
	case <-c.d.cut.Done():
		return driver.ErrClosed
	}
	return nil
}

// look is one look at the queue. It goes on when ctx has ended, as the server may hand out jobs, and gives
// back what it brings then.
func (c *consumer) look(ctx context.Context, max int) fetched {
	done := make(chan fetched, 1)
	started := c.fetches.Go(func() {
		done <- c.fetch(context.WithoutCancel(ctx), max)
	})
	if !started {
		return fetched{err: driver.ErrClosed}
	}
	select {
	case f := <-done:
		return f
	case <-ctx.Done():
	}
	c.fetches.Go(func() { c.giveBack((<-done).deliveries) }) // Stop lets it in: it waits for this call first
	return fetched{err: ctx.Err()}
}

// giveBack makes jobs ready again that no call returned. What fails becomes ready when its lease ends.
func (c *consumer) giveBack(deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	seqs, tokens := make([]int64, len(deliveries)), make([]int64, len(deliveries))
	for i, delivery := range deliveries {
		r, _ := receiptOf(delivery)
		seqs[i], tokens[i] = r.seq, r.token
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.lease)
	defer cancel()
	if c.d.whole(ctx, append([]step{{untake, []any{c.queue, seqs, tokens}, nil}}, c.d.ringing(c.queue)...)...) == nil { // as above
		c.d.bell.local(c.queue)
	}
}

// fetch asks the server.
func (c *consumer) fetch(ctx context.Context, max int) fetched {
	f := fetched{next: restPoll}
	var damaged []driver.Settlement
	var ended bool // groups have jobs that transactions completed
	f.err = c.d.whole(ctx,
		step{takeJobs, []any{c.queue, max, c.lease.Milliseconds()}, func(rows pgx.Rows) error {
			delivery, err := c.scan(rows)
			switch {
			case err != nil:
				return err
			case isReadable(delivery):
				f.deliveries = append(f.deliveries, delivery)
			default:
				damaged = append(damaged, unreadable(delivery))
			}
			return nil
		}},
		step{lookAhead, []any{c.queue}, func(rows pgx.Rows) error {
			var next *int64
			if err := rows.Scan(&f.more, &ended, &next); err != nil {
				return fmt.Errorf("%w: %w", errAnswer, err)
			}
			if next != nil {
				f.next = min(f.next, max0(time.Duration(*next)*time.Millisecond)+time.Millisecond)
			}
			return nil
		}})
	if f.err == nil && ended {
		// By itself, as it takes the locks of groups in an order of its own. The next look does what fails.
		if c.d.whole(ctx, step{followGroups, []any{c.queue}, nil}) == nil {
			f.more = true
		}
	}
	if f.err != nil {
		f.deliveries = nil
	} else if len(damaged) > 0 {
		_ = c.settle(ctx, damaged) // what fails is handed out again, and again is no job
		f.more = true
	}
	return f
}

// isReadable tells whether a row is a job, which this driver stored or somebody by the form of docs/wire-postgres.md.
func isReadable(delivery *driver.Delivery) bool {
	return !delivery.Receipt.(*receipt).damaged &&
		wire.IsToken(delivery.ID) && wire.IsToken(delivery.Kind) && wire.IsMediaType(delivery.ContentType)
}

// unreadable makes a dead letter of what is no job.
func unreadable(delivery *driver.Delivery) driver.Settlement {
	return driver.Settlement{Delivery: delivery, Outcome: driver.OutcomeDead, Reason: driver.ReasonUnreadable, Strip: true}
}

// max0 is a duration, or zero if it is negative.
func max0(d time.Duration) time.Duration { return max(d, 0) }

// scan reads a job that was handed out.
func (c *consumer) scan(rows pgx.Rows) (*driver.Delivery, error) {
	var r record
	var token int64
	var lost int32
	if err := r.scan(rows, &r.seq, &token, &lost); err != nil {
		return nil, err
	}
	m, err := r.message()
	return &driver.Delivery{
		Message: m, Failures: int(r.failures), LastError: string(r.lastError), Bounces: int(r.bounces), BouncedSince: timeOf(r.bouncedSince),
		Deliveries: int(r.deliveries), Redeliveries: int(lost), Receipt: &receipt{&c.d.home, c.queue, r.seq, token, err != nil},
	}, nil
}
