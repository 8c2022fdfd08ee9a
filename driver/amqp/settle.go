package amqp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Settle ends deliveries. Retries, releases and dead letters are published and
// confirmed first; then everything is acknowledged, and the broker asked for a sign that it
// has processed that. Acknowledgements as such have no answer, and what they do
// in a quorum queue is not waited for: a broker that crashes then may hand a job
// out again that was settled, as it may before.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	const op = "settle"
	if err := begin(ctx, &c.calls); err != nil {
		return fault.All(len(settlements), fail(op, c.names.queue, err))
	}
	defer c.calls.Exit()
	s := settlement{c: c, items: settlements, errs: make([]error, len(settlements)), receipts: make([]*receipt, len(settlements))}
	s.claim()
	s.unsubscribe(ctx)
	s.publish(ctx)
	s.acknowledge(ctx)
	var errs []error
	for i, err := range s.errs {
		if err != nil {
			errs = fault.Set(errs, len(settlements), i, fail(op, c.names.queue, err))
		}
	}
	return errs
}

// settlement is one call of Settle.
type settlement struct {
	c        *consumer
	items    []driver.Settlement
	errs     []error
	receipts []*receipt // nil where there is an error
}

// claim takes the receipts that are held.
func (s *settlement) claim() {
	for i := range s.items {
		s.receipts[i], s.errs[i] = s.c.claim(&s.items[i])
	}
}

// claim takes the receipt of one settlement, if it is held and the settlement is
// within the bounds.
func (c *consumer) claim(item *driver.Settlement) (*receipt, error) {
	const op = "settle"
	r, err := c.receiptOf(item.Delivery)
	if err != nil {
		return nil, err
	}
	if !r.claim() {
		return nil, errLost
	}
	switch {
	case item.Outcome < driver.OutcomeDone || item.Outcome > driver.OutcomeDead:
		err = faults.Refuse(op, c.names.queue, driver.ErrConfig, fmt.Errorf("outcome %d is none", item.Outcome), "")
	case item.Outcome == driver.OutcomeRetry:
		err = checkDelay(op, c.names.queue, item.Delay)
	}
	if err != nil {
		r.unclaim()
		return nil, err
	}
	return r, nil
}

// giveUp leaves a delivery with the consumer.
func (s *settlement) giveUp(i int, err error) {
	s.receipts[i].unclaim()
	s.receipts[i], s.errs[i] = nil, err
}

// unsubscribe keeps what is released from coming back to the consumer that
// releases it.
func (s *settlement) unsubscribe(ctx context.Context) {
	var last *session
	for i, r := range s.receipts {
		if r == nil || s.items[i].Outcome != driver.OutcomeRelease || r.session == last {
			continue
		}
		last = r.session
		// If ctx ends, so do the steps that follow.
		_ = s.c.base.await(ctx, func() error { r.session.unsubscribe(); return nil })
	}
}

// publish stores the new messages that settlements need.
func (s *settlement) publish(ctx context.Context) {
	var items []*publication
	var index []int
	now := time.Now()
	for i, r := range s.receipts {
		if r == nil {
			continue
		}
		item, err := s.c.successor(ctx, &s.items[i], r, now)
		if err != nil {
			s.giveUp(i, s.c.orLost(ctx, err))
			continue
		}
		if item != nil {
			items, index = append(items, item), append(index, i)
		}
		now = now.Add(time.Microsecond) // dead letters of one call have an order
	}
	s.c.base.store(ctx, s.c.names, items)
	for k, item := range items {
		if item.err != nil {
			s.giveUp(index[k], s.c.orLost(ctx, item.err))
		}
	}
}

// orLost is the error of a publication for a settlement. If it failed because the
// queue was deleted, so were the deliveries.
func (c *consumer) orLost(ctx context.Context, err error) error {
	if err != errReturned && !isGone(err) {
		return err
	}
	if there, e := c.base.exists(ctx, c.names.main); there || e != nil {
		return err // a part of the queue is missing, or it was declared again
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// successor is the new message that a settlement needs, or nil.
func (c *consumer) successor(ctx context.Context, item *driver.Settlement, r *receipt, now time.Time) (*publication, error) {
	m := &item.Delivery.Message
	switch item.Outcome {
	case driver.OutcomeRetry:
		return c.base.schedule(ctx, c.names, encode(m, settled(item, r)), item.Delay, now)
	case driver.OutcomeDead:
		return deadLetterOf(c.names, m, settled(item, r), item.Reason, now), nil
	case driver.OutcomeRelease:
		// Returned by the broker it would be counted wrongly: up to 4.2 a quorum queue
		// takes it for a lost holder, and after that for a job that was not handed out.
		return c.anew(m, historyOf(item.Delivery, r.deliveries)), nil
	}
	return nil, nil
}

// settled is the history that a settlement stores.
func settled(item *driver.Settlement, r *receipt) history {
	return history{
		failures: item.Failures, lastError: item.Error, bounces: item.Bounces, bouncedSince: item.BouncedSince,
		deliveries: r.deliveries,
	}
}

// acknowledge tells the broker, by session: a consumer has more than one only just
// after it lost one.
func (s *settlement) acknowledge(ctx context.Context) {
	sessions := make(map[*session][]int)
	for i, r := range s.receipts {
		if r != nil {
			sessions[r.session] = append(sessions[r.session], i)
		}
	}
	for session, index := range sessions {
		acks := make([]*receipt, len(index))
		for k, i := range index {
			acks[k] = s.receipts[i]
		}
		err := s.c.base.await(ctx, func() error { return s.c.acknowledge(session, acks) })
		if err != nil {
			for _, i := range index {
				s.errs[i] = err
			}
		}
	}
}

// acknowledge tells the broker what is settled on one channel, and waits for its
// sign.
func (c *consumer) acknowledge(s *session, acks []*receipt) error {
	s.writing.Lock()
	err := s.write(acks, nil)
	s.writing.Unlock()
	if err == nil {
		err = s.barrier()
	}
	if err == nil {
		// Without a subscription the session has no notice that the queue was
		// deleted, but the mover has one of the hop queue, which is deleted with it.
		c.mu.Lock()
		m := c.mover
		c.mu.Unlock()
		if m != nil {
			m.catchUp()
		}
		if errors.Is(s.endedFor(), errCancelled) {
			err = errCancelled
		}
	}
	if errors.Is(err, errCancelled) || isGone(err) {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return s.conn.explain(err)
}
