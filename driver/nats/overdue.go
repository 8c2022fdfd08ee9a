package nats

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// A server that has no room when a scheduled message falls due takes note that it is
// handing it out, and forgets it (markInflight in server/scheduler.go): it stays until
// the server is started again. A consumer looks for such messages from time to time, and
// stores them once more, in place of themselves, which the server takes for new ones.

const (
	// lookTime is how often a consumer looks, and lookCost what it waits more for each
	// scheduled message, as the server lists all of them.
	lookTime = 15 * time.Second
	lookCost = time.Millisecond
	// fullTime is how often it looks while there is no room.
	fullTime = 5 * time.Second
	// freeSize is how many messages are read and stored at once: they may be large.
	freeSize = 16
)

// look looks for overdue messages, in the background, if it is time to.
func (c *consumer) look() {
	now := time.Now()
	next := c.nextLook.Load()
	if next != nil && now.Before(*next) {
		return
	}
	soon := now.Add(lookTime)
	if !c.nextLook.CompareAndSwap(next, &soon) {
		return
	}
	_ = c.background.Go(func() { // after Stop nobody looks
		ctx, cancel := context.WithTimeout(context.Background(), requeueTime)
		defer cancel()
		if c.d.life.Begin(ctx) != nil {
			return
		}
		defer c.d.life.End()
		then := time.Now().Add(c.freeOverdue(ctx))
		c.nextLook.Store(&then)
	})
}

// freeOverdue stores overdue messages anew, and returns when to look again. If they have
// no room, the next Receive says so.
func (c *consumer) freeOverdue(ctx context.Context) time.Duration {
	d, n := c.d, c.n
	jobs, scheduled, err := d.compare(ctx, n)
	if errors.Is(err, driver.ErrConflict) {
		conflict := err // which Receive reads, when err is of something else
		c.trouble.Store(&conflict)
		scheduled, err = d.consumerInfo(ctx, n, consumerScheduled)
	}
	if err != nil || scheduled.NumPending == 0 {
		return spread(lookTime)
	}
	subjects, err := d.subjects(ctx, n, n.allLater())
	if err != nil {
		return spread(lookTime)
	}
	overdue := n.overdue(subjects, scheduled.Time)
	n.due.Store(int64(len(overdue)))
	for first := 0; first < len(overdue) && err == nil; first += freeSize {
		err = d.storeAgain(ctx, n, overdue[first:min(first+freeSize, len(overdue))])
	}
	if isFull(err) {
		err = fmt.Errorf("%d jobs are due, and the server has no room to hand them out: %w", len(overdue), err)
		c.trouble.Store(&err)
		return spread(fullTime)
	}
	// All workers look, and one is enough.
	others := 1
	if jobs != nil {
		others = min(max(jobs.NumWaiting/4, 1), 100)
	}
	pause := max(lookTime, time.Duration(len(subjects))*lookCost)
	return spread(pause * time.Duration(others))
}

// spread makes a pause as long as itself to twice that, so that workers that were
// started together do not look together.
func spread(pause time.Duration) time.Duration { return pause + rand.N(pause) }

// storeAgain stores the messages of some subjects in place of themselves. One that was
// handed out meanwhile is left alone. The error is that of one of the others.
func (d *Driver) storeAgain(ctx context.Context, n *names, subjects []string) error {
	requests := make([]getRequest, len(subjects))
	for i, s := range subjects {
		requests[i].Last = s
	}
	messages, err := d.getAll(ctx, n, requests)
	if err != nil {
		return err
	}
	var entries []entry
	for _, m := range messages {
		if m == nil {
			continue
		}
		h, err := natsgo.DecodeHeadersMsg(m.Header)
		if err != nil || h.Get(natsSchedule) == "" {
			continue // nobody's schedule
		}
		// Else it is known already, or taken for a part of the batch in which it once came.
		for _, name := range []string{natsMsgID, natsBatchID, natsBatchSeq, natsBatchCommit, natsExpectSubject} {
			delete(h, name)
		}
		again := newHeader(natsExpectSubject, strconv.FormatUint(m.Seq, 10))
		for name, values := range h {
			for _, value := range values {
				again = again.with(nil, name, value)
			}
		}
		entries = append(entries, entry{m.Subject, again, m.Data})
	}
	if len(entries) == 0 {
		return nil
	}
	_, errs := d.publish(ctx, n, entries)
	for _, err := range errs {
		if err != nil && !isConflict(err) {
			return err
		}
	}
	return nil
}
