package amqp

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// Settle ends deliveries. Retries and dead letters are published and confirmed
// first; then everything is acknowledged, and the broker asked for a sign that it
// has processed that. Acknowledgements as such have no answer, and what they do
// in a quorum queue is not waited for: a broker that crashes then may hand a job
// out again that was settled, as it may before.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	const op = "settle"
	if err := c.enter(ctx); err != nil {
		return failed(len(settlements), op, c.n.queue, err)
	}
	defer c.calls.Done()
	w := work{c: c, settlements: settlements, errs: make([]error, len(settlements)), receipts: make([]*receipt, len(settlements))}
	w.claim()
	w.rest(ctx)
	w.copy(ctx)
	w.finish(ctx)
	bad := false
	for i, err := range w.errs {
		if err != nil {
			w.errs[i] = fail(op, c.n.queue, err)
			bad = true
		}
	}
	if !bad {
		return nil
	}
	return w.errs
}

// work is one Settle.
type work struct {
	c           *consumer
	settlements []driver.Settlement
	errs        []error
	receipts    []*receipt // nil where there is an error
}

// claim takes the receipts that are held.
func (w *work) claim() {
	for i := range w.settlements {
		r, err := w.c.claim(w.settlements[i].Delivery)
		if err == nil && (w.settlements[i].Outcome < driver.Done || w.settlements[i].Outcome > driver.Dead) {
			r.release()
			r, err = nil, refuse("settle", w.c.n.queue, driver.ErrConfig, fmt.Errorf("outcome %d is none", w.settlements[i].Outcome))
		}
		if err == nil && w.settlements[i].Outcome == driver.Retry && (w.settlements[i].Delay < 0 || w.settlements[i].Delay > maxDelay) {
			r.release()
			r, err = nil, refuse("settle", w.c.n.queue, driver.ErrTooLarge, fmt.Errorf("the delay %s is not from 0 to %s", w.settlements[i].Delay, maxDelay))
		}
		w.receipts[i], w.errs[i] = r, err
	}
}

// claim takes one receipt, if it is held.
func (c *consumer) claim(d *driver.Delivery) (*receipt, error) {
	r, err := c.receipt(d)
	if err != nil {
		return nil, err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.over || r.state != held {
		return nil, errLost
	}
	r.state = settling
	return r, nil
}

func (c *consumer) receipt(d *driver.Delivery) (*receipt, error) {
	if d != nil {
		if r, ok := d.Receipt.(*receipt); ok && r.s.c == c {
			return r, nil
		}
	}
	return nil, fmt.Errorf("%w: it came from another consumer", errLost)
}

// release gives a receipt back to the consumer after a failure.
func (r *receipt) release() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.state = held
}

// rest keeps what is released from coming back to who releases it.
func (w *work) rest(ctx context.Context) {
	var last *session
	for i, r := range w.receipts {
		if r == nil || w.settlements[i].Outcome != driver.Release || r.s == last {
			continue
		}
		s := r.s
		last = s
		// If ctx ends, so do the steps that follow.
		_ = w.c.h.await(ctx, func() error { s.unsubscribe(); return nil })
	}
}

// copy publishes what has to be stored anew.
func (w *work) copy(ctx context.Context) {
	var items []*publication
	var index []int
	now := time.Now()
	for i := range w.settlements {
		r := w.receipts[i]
		if r == nil {
			continue
		}
		item, err := w.c.store(ctx, &w.settlements[i], r, now)
		if err != nil {
			w.giveUp(i, err)
			continue
		}
		if item != nil {
			items, index = append(items, item), append(index, i)
		}
		now = now.Add(time.Microsecond) // dead letters of one call have an order
	}
	w.c.h.publish(ctx, items)
	for k, item := range items {
		if item.err != nil {
			w.giveUp(index[k], item.err)
		}
	}
}

func (w *work) giveUp(i int, err error) {
	w.receipts[i].release()
	w.receipts[i], w.errs[i] = nil, err
}

// store is the new message that a settlement needs, or nil.
func (c *consumer) store(ctx context.Context, s *driver.Settlement, r *receipt, now time.Time) (*publication, error) {
	d := s.Delivery
	switch s.Outcome {
	case driver.Retry:
		h := history{failures: s.Failures, lastError: s.Error, deliveries: r.deliveries}
		return c.h.place(ctx, c.n, encode(&d.Message, &h), s.Delay, now)
	case driver.Dead:
		h := history{failures: s.Failures, lastError: s.Error, deliveries: r.deliveries}
		message := encode(&d.Message, &h)
		entomb(&message, s.Reason, now)
		return &publication{queue: c.n.dead, message: message}, nil
	case driver.Release:
		if c.h.anew {
			h := history{failures: d.Failures, lastError: d.LastError, deliveries: r.deliveries}
			return &publication{queue: c.n.main, message: encode(&d.Message, &h)}, nil
		}
	}
	return nil, nil
}

// entomb makes a dead letter of a message. Its priority goes into a header, for
// the dead letters are to stay in the order in which they died.
func entomb(m *amqp091.Publishing, reason string, now time.Time) {
	if m.Priority != 0 {
		m.Headers[hLevel] = int64(m.Priority) - basePriority + lowest
		m.Priority = 0
	}
	entry := make([]byte, 8)
	_, _ = rand.Read(entry)
	m.Headers[hReason] = reason
	m.Headers[hDied] = now.UnixMicro()
	m.Headers[hEntry] = hex.EncodeToString(entry)
}

// finish acknowledges, by session: a consumer has more than one only just after
// it lost one.
func (w *work) finish(ctx context.Context) {
	sessions := make(map[*session][]int)
	for i, r := range w.receipts {
		if r != nil {
			sessions[r.s] = append(sessions[r.s], i)
		}
	}
	for s, index := range sessions {
		acks, releases := make([]*receipt, 0, len(index)), []*receipt(nil)
		for _, i := range index {
			if w.settlements[i].Outcome == driver.Release && !w.c.h.anew {
				releases = append(releases, w.receipts[i])
			} else {
				acks = append(acks, w.receipts[i])
			}
		}
		err := w.c.h.await(ctx, func() error { return s.settle(acks, releases) })
		if err != nil {
			for _, i := range index {
				w.errs[i] = err
			}
		}
	}
}

// settle tells the broker, and waits for its sign.
func (s *session) settle(acks, releases []*receipt) error {
	s.writing.Lock()
	err := s.write(acks, releases, s.ch.Reject)
	s.writing.Unlock()
	if err == nil {
		err = s.barrier()
	}
	if errors.Is(err, errCancelled) {
		return s.lostBy()
	}
	return lostCall(s.link, err)
}

// write sends the frames: s.writing must be held. What was written counts as
// settled: the channel either takes it or ends, and with it all deliveries.
// Returned by reject the broker counts that they were handed out, by giveBack's
// nack it does not.
func (s *session) write(acks, returns []*receipt, reject func(tag uint64, requeue bool) error) error {
	s.mu.Lock()
	if s.over {
		s.mu.Unlock()
		return s.lostBy()
	}
	for _, r := range returns {
		r.state = settled
	}
	for _, r := range acks {
		r.state = settled
	}
	s.mu.Unlock()
	s.link.wire.cork()
	defer s.link.wire.uncork()
	for _, r := range returns {
		if err := reject(r.tag, true); err != nil {
			return err
		}
	}
	// All tags up to the first that is still held go with one acknowledgement.
	// Those that were settled before are not outstanding, and not touched by it.
	s.mu.Lock()
	upTo := s.trim()
	s.mu.Unlock()
	last := uint64(0)
	for _, r := range acks {
		if r.tag < upTo {
			last = max(last, r.tag)
		}
	}
	if last > 0 {
		if err := s.ch.Ack(last, true); err != nil {
			return err
		}
	}
	for _, r := range acks {
		if r.tag > last {
			if err := s.ch.Ack(r.tag, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// trim forgets the settled receipts at the head, and returns the tag up to which
// all are settled, exclusive. s.mu must be held.
func (s *session) trim() uint64 {
	for s.head < len(s.held) && s.held[s.head].state == settled {
		s.held[s.head] = nil
		s.head++
	}
	if s.head > 1024 && s.head > len(s.held)/2 {
		n := copy(s.held, s.held[s.head:])
		clear(s.held[n:])
		s.held, s.head = s.held[:n], 0
	}
	if s.head == len(s.held) {
		s.held, s.head = s.held[:0], 0
		return ^uint64(0)
	}
	return s.held[s.head].tag
}

// Extend tells which deliveries are lost. It asks nobody: a delivery is held as
// long as its channel lives, and the end of that is known.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	const op = "extend"
	if err := c.enter(ctx); err != nil {
		return failed(len(deliveries), op, c.n.queue, err)
	}
	defer c.calls.Done()
	var errs []error
	for i, d := range deliveries {
		r, err := c.receipt(d)
		if err == nil {
			r.s.mu.Lock()
			if r.s.over || r.state == settled {
				err = errLost
			}
			r.s.mu.Unlock()
		}
		if err != nil {
			if errs == nil {
				errs = make([]error, len(deliveries))
			}
			errs[i] = fail(op, c.n.queue, err)
		}
	}
	return errs
}

// refuse is the error of a call whose arguments are wrong.
func refuse(op, queue string, kind, err error) error {
	return &driver.Error{Driver: Name, Op: op, Queue: queue, Kind: kind, Fate: driver.FateNotStored, Err: err}
}
