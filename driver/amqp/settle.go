package amqp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Settle ends deliveries. What is done is acknowledged first, and depends on nothing
// else. Retries, dead letters, and releases that cannot be returned, are published, confirmed and then
// acknowledged, apart for each of the broker's queues, so that one that is slow or
// full holds up none of the others. After acknowledgements the broker is asked for a
// sign that it has processed them: they have no answer as such, and what they do in a
// quorum queue is not waited for. A broker that crashes then may hand a job out again
// that was settled, as it may before.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	const op = "settle"
	if err := begin(ctx, &c.calls); err != nil {
		return fault.All(len(settlements), fail(op, c.names.queue, err))
	}
	defer c.calls.Exit()
	s := newSettlement(c, settlements)
	if done := s.claim(); len(done) > 0 {
		s.tell(ctx, done)
	}
	if s.left > 0 {
		s.unsubscribe(ctx)
		s.tell(ctx, s.returns())
		s.replace(ctx)
	}
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
	left     int        // of those claimed, how many are not done
	delays   scheduler

	asking  sync.Once // for deleted
	deleted bool      // whether the queue is, see isDeleted
}

// newSettlement is one of which nothing is claimed.
func newSettlement(c *consumer, items []driver.Settlement) *settlement {
	return &settlement{
		c: c, items: items, errs: make([]error, len(items)), receipts: make([]*receipt, len(items)),
		delays: scheduler{base: c.base},
	}
}

// claim takes the receipts that are held, and returns the indices of those that are
// done.
func (s *settlement) claim() (done []int) {
	done = make([]int, 0, len(s.items))
	for i := range s.items {
		switch s.receipts[i], s.errs[i] = s.c.claim(&s.items[i]); {
		case s.errs[i] != nil:
		case s.items[i].Outcome == driver.OutcomeDone:
			done = append(done, i)
		default:
			s.left++
		}
	}
	return done
}

// claim takes the receipt of one settlement, if it is held and the settlement is
// within the bounds.
func (c *consumer) claim(item *driver.Settlement) (*receipt, error) {
	r, err := c.receiptOf(item.Delivery)
	if err != nil {
		return nil, err
	}
	if !r.claim() {
		return nil, errLost
	}
	if err := faults.CheckSettlement(c.names.queue, item, maxDelay); err != nil {
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

// returns is the releases that the broker can take back as they are: as of 4.3 basic.nack
// counts them as handed out and not as lost, and keeps their place.
func (s *settlement) returns() []int {
	var index []int
	for i, r := range s.receipts {
		if r != nil && s.isReturn(i) {
			index = append(index, i)
		}
	}
	return index
}

// isReturn tells whether a settlement is a release that needs no new message.
func (s *settlement) isReturn(i int) bool {
	return s.items[i].Outcome == driver.OutcomeRelease && !s.c.base.replacesGivenBack
}

// replace stores the new messages that settlements need, and ends their deliveries.
func (s *settlement) replace(ctx context.Context) {
	parts := s.successors(ctx)
	if len(parts) == 1 {
		s.store(ctx, parts[0])
		return
	}
	var storing sync.WaitGroup
	for _, p := range parts {
		storing.Go(func() { s.store(ctx, p) })
	}
	storing.Wait()
}

// part is the new messages for one of the broker's queues, and which settlements need
// them.
type part struct {
	items []*publication
	index []int
}

// successors makes the new messages.
func (s *settlement) successors(ctx context.Context) []*part {
	var parts []*part
	now := time.Now()
	for i, r := range s.receipts {
		if r == nil || s.items[i].Outcome == driver.OutcomeDone || s.isReturn(i) {
			continue
		}
		item, err := s.successor(ctx, &s.items[i], r, now)
		if err != nil {
			s.giveUp(i, s.orLost(ctx, err))
			continue
		}
		k := slices.IndexFunc(parts, func(p *part) bool { return p.items[0].queue == item.queue })
		if k < 0 {
			k, parts = len(parts), append(parts, &part{})
		}
		parts[k].items, parts[k].index = append(parts[k].items, item), append(parts[k].index, i)
		now = now.Add(time.Microsecond) // dead letters of one call have an order
	}
	return parts
}

// store stores one part, and ends the deliveries of what was stored.
func (s *settlement) store(ctx context.Context, p *part) {
	s.c.base.store(ctx, s.c.names, p.items)
	stored := make([]int, 0, len(p.index))
	for k, item := range p.items {
		if item.err != nil {
			s.giveUp(p.index[k], s.orLost(ctx, item.err))
		} else {
			stored = append(stored, p.index[k])
		}
	}
	s.tell(ctx, stored)
}

// orLost is the error of a publication for a settlement. If it failed because the
// queue was deleted, so were the deliveries.
func (s *settlement) orLost(ctx context.Context, err error) error {
	if err != errReturned && !isGone(err) || !s.isDeleted(ctx) {
		return err // or a part of the queue is missing, or it was declared again
	}
	return fmt.Errorf("%w: %w", errLost, err)
}

// isDeleted tells whether the queue is certainly not there any more. It asks once.
func (s *settlement) isDeleted(ctx context.Context) bool {
	s.asking.Do(func() {
		there, err := s.c.base.exist(ctx, []string{s.c.names.main})
		s.deleted = !there && err == nil
	})
	return s.deleted
}

// successor is the new message that a settlement needs which is not done.
func (s *settlement) successor(ctx context.Context, item *driver.Settlement, r *receipt, now time.Time) (*publication, error) {
	m := &item.Delivery.Message
	switch item.Outcome {
	case driver.OutcomeRetry:
		return s.delays.schedule(ctx, s.c.names, encode(m, settled(item, r)), item.Delay, now)
	case driver.OutcomeDead:
		if item.Strip {
			stripped := *m
			stripped.Headers = nil // all else is a few hundred bytes
			m = &stripped
		}
		return deadLetterOf(s.c.names, m, settled(item, r), item.Reason, now), nil
	default:
		// A release where the broker would take what is returned for a lost holder.
		return s.c.anew(m, historyOf(item.Delivery, r.deliveries)), nil
	}
}

// settled is the history that a settlement stores.
func settled(item *driver.Settlement, r *receipt) history {
	return history{
		failures: item.Failures, lastError: item.Error, bounces: item.Bounces, bouncedSince: item.BouncedSince,
		deliveries: r.deliveries,
	}
}

// tell ends the deliveries of index, by session: a consumer has more than one only just
// after it lost one.
func (s *settlement) tell(ctx context.Context, index []int) {
	for len(index) > 0 {
		session := s.receipts[index[0]].session
		ended := make([]*receipt, 0, len(index))
		for _, i := range index {
			if s.receipts[i].session != session {
				break
			}
			ended = append(ended, s.receipts[i])
		}
		acks, returns := ended, []*receipt(nil)
		if s.isReturn(index[0]) { // then all are
			acks, returns = nil, ended
		}
		if err := s.c.base.await(ctx, func() error { return s.c.tell(session, acks, returns) }); err != nil {
			for _, i := range index[:len(ended)] {
				s.errs[i] = err
			}
		}
		index = index[len(ended):]
	}
}

// tell tells the broker what is settled on one channel, and waits for its sign.
func (c *consumer) tell(s *session, acks, returns []*receipt) error {
	err := s.hand(acks, returns)
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
