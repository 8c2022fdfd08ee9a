package nats

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Settle ends deliveries.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	if len(settlements) == 0 {
		return nil
	}
	if err := c.begin(ctx); err != nil {
		return fault.All(len(settlements), fail("settle", c.n.queue, err))
	}
	defer c.end()
	return c.settle(ctx, settlements)
}

// settle is Settle within a call.
func (c *consumer) settle(ctx context.Context, settlements []driver.Settlement) []error {
	s := settleCall{c: c, ctx: ctx, settlements: settlements, now: time.Now(), busy: make([]*receipt, 0, len(settlements))}
	for i := range settlements {
		s.plan(i)
	}
	if len(s.acks) > 0 {
		s.ack()
	}
	if len(s.removals) > 0 {
		s.remove()
	}
	if len(s.replacements) > 0 {
		s.replace()
	}
	s.unmark()
	c.holders.drop(s.busy)
	for _, r := range s.busy {
		r.busy.Store(false)
	}
	c.explain(ctx, s.errs)
	for i, err := range s.errs {
		s.errs[i] = fail("settle", c.n.queue, err)
	}
	return s.errs
}

// unmark removes the marks of what was settled.
func (s *settleCall) unmark() {
	var over []*receipt
	for _, r := range s.busy {
		if r.mark != 0 && r.settled.Load() {
			over = append(over, r)
		}
	}
	s.c.unmark(s.ctx, over)
}

// release gives deliveries back that no Receive returned. What fails comes back when its
// lease ends.
func (c *consumer) release(ctx context.Context, deliveries []*driver.Delivery) {
	if len(deliveries) == 0 {
		return
	}
	settlements := make([]driver.Settlement, len(deliveries))
	for i, d := range deliveries {
		settlements[i] = driver.Settlement{Delivery: d, Outcome: driver.OutcomeRelease}
	}
	_ = c.settle(ctx, settlements) // as above
}

// settleCall is one call of Settle.
type settleCall struct {
	c           *consumer
	ctx         context.Context
	settlements []driver.Settlement
	now         time.Time
	errs        []error
	busy        []*receipt
	// acks are done and certain to be held, removals are done and not, replacements
	// have a new entry take the place of the old. They are indices of settlements.
	acks, removals, replacements []int
}

// plan decides how settlement i is carried out.
func (s *settleCall) plan(i int) {
	r, err := s.c.n.receiptOf(s.settlements[i].Delivery)
	if err == nil && !r.busy.CompareAndSwap(false, true) {
		err = errLapsed // another call settles it just now
	}
	if err != nil {
		s.note(i, err)
		return
	}
	s.busy = append(s.busy, r)
	if err := faults.CheckSettlement(s.c.n.queue, &s.settlements[i], maxDelay); err != nil {
		s.note(i, err)
		return
	}
	switch o := s.settlements[i].Outcome; {
	case o == driver.OutcomeDone && r.held(s.now, s.c.epoch()):
		s.acks = append(s.acks, i)
	case o == driver.OutcomeDone:
		s.removals = append(s.removals, i)
	default:
		s.replacements = append(s.replacements, i)
	}
}

// note notes the error of settlement i.
func (s *settleCall) note(i int, err error) {
	s.errs = fault.Set(s.errs, len(s.settlements), i, err)
}

// receipt is that of settlement i.
func (s *settleCall) receipt(i int) *receipt { return s.settlements[i].Delivery.Receipt.(*receipt) }

// ack acknowledges what is done, in the server's quickest way. It is certain
// that nobody else holds the jobs if the answers are there before the leases
// end; a later one proves nothing.
//
// A single server answers only the last: it takes what comes on one connection in
// order, so the others were taken before. The servers of a cluster may change
// places in between, so each acknowledgement is answered.
func (s *settleCall) ack() {
	c := s.c
	asked := len(s.acks)
	if c.alone {
		asked = 1
	}
	reqs, err := c.d.conn.requests(asked, s.receipt(s.acks[0]).ackScope())
	if err != nil {
		for _, i := range s.acks {
			s.note(i, err)
		}
		return
	}
	for k, i := range s.acks {
		reply := s.receipt(i).reply
		switch {
		case !c.alone:
			err = reqs.send(k, reply, nil, nil)
		case k == len(s.acks)-1:
			err = reqs.send(0, reply, nil, nil)
		default:
			err = reqs.tell(reply, nil, nil)
		}
		if err != nil {
			if k > 0 {
				err = errLost // those before may have left
			}
			reqs.fail(err)
			break
		}
	}
	broken := reqs.wait(s.ctx)
	answered := time.Now()
	for k, i := range s.acks {
		r := s.receipt(i)
		m := reqs.answers[min(k, asked-1)]
		switch {
		case m == nil || m == unsent:
			// Some of them may have been sent.
			r.uncertain.Store(true)
			s.note(i, cmp.Or(broken, errLost))
		case status(m) == "503":
			// No consumer, no queue.
			r.uncertain.Store(true)
			s.removals = append(s.removals, i)
		case !r.held(answered, c.epoch()):
			// It was acknowledged, but perhaps too late: the removal will tell.
			s.note(i, errLost)
		default:
			r.settled.Store(true)
		}
	}
}

// remove ends what is done where somebody else may have it: the holder that
// removes the entry has settled the job.
func (s *settleCall) remove() {
	s.removals = s.present(s.removals)
	seqs := make([]uint64, len(s.removals))
	for k, i := range s.removals {
		seqs[k] = s.receipt(i).seq
	}
	errs := s.c.d.remove(s.ctx, s.c.n, seqs)
	for k, i := range s.removals {
		var err error
		if errs != nil {
			err = errs[k]
		}
		if err == nil || errors.Is(err, errTaken) {
			s.receipt(i).settled.Store(true)
		}
		if err != nil {
			s.note(i, err)
		}
	}
}

// replace stores what takes the place of entries and removes them.
func (s *settleCall) replace() {
	c := s.c
	index := s.present(s.replacements)
	if len(index) == 0 {
		return
	}
	now, err := c.d.serverNow(s.ctx, c.n)
	if err != nil {
		for _, i := range index {
			s.note(i, err)
		}
		return
	}
	entries := make([]entry, 0, len(index))
	old := make([]uint64, 0, len(index))
	receipts := make([]*receipt, 0, len(index))
	fitting := index[:0]
	for _, i := range index {
		e := s.replacement(&s.settlements[i], now)
		if err := c.d.fits(&e); err != nil {
			s.note(i, err) // it is still held
			continue
		}
		r := s.receipt(i)
		entries, old, receipts, fitting = append(entries, e), append(old, r.seq), append(receipts, r), append(fitting, i)
	}
	if index = fitting; len(index) == 0 {
		return
	}
	for k, err := range c.d.replace(s.ctx, c.n, entries, old, receipts) {
		r := receipts[k]
		if err == nil || errors.Is(err, errTaken) {
			r.settled.Store(true)
		} else {
			r.uncertain.Store(true)
		}
		if err != nil {
			s.note(index[k], err)
		}
	}
}

// present leaves out what is not there any more, or not this holder's. Storing the new entry before
// the removal fails would show it for a moment, so what is not certain to be held
// is looked for first.
func (s *settleCall) present(index []int) []int {
	receipts := make([]*receipt, len(index))
	for k, i := range index {
		receipts[k] = s.receipt(i)
	}
	errs := s.c.verify(s.ctx, receipts, s.now)
	if errs == nil {
		return index
	}
	kept := index[:0]
	for k, err := range errs {
		i := index[k]
		if err == nil {
			kept = append(kept, i)
			continue
		}
		if err == errTaken {
			receipts[k].settled.Store(true)
		}
		s.note(i, err)
	}
	return kept
}

// replacement is what takes the place of a settled entry.
func (s *settleCall) replacement(t *driver.Settlement, now moment) entry {
	n, r := s.c.n, t.Delivery.Receipt.(*receipt)
	j := job{Message: t.Delivery.Message, deliveries: r.deliveries, hold: r.hold}
	switch t.Outcome {
	case driver.OutcomeRetry:
		j.failures, j.lastError, j.bounces, j.bouncedSince = t.Failures, t.Error, t.Bounces, t.BouncedSince
		return n.entry(&j, dueAfter(now, t.Delay), natsMsgID, r.messageID("retry"))
	case driver.OutcomeRelease:
		old := t.Delivery
		j.failures, j.lastError, j.bounces, j.bouncedSince = old.Failures, old.LastError, old.Bounces, old.BouncedSince
		j.lost = r.lost // holders that vanished stay counted
		return n.entry(&j, moment{}, natsMsgID, r.messageID("release"))
	default:
		j.failures, j.lastError, j.bounces, j.bouncedSince = t.Failures, t.Error, t.Bounces, t.BouncedSince
		j.reason, j.diedAt = t.Reason, now.server
		if t.Strip {
			return s.c.d.stripped(n, &j, natsMsgID, r.messageID("dead"))
		}
		return n.deadEntry(&j, natsMsgID, r.messageID("dead"))
	}
}
