package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nuid"

	"github.com/batch-go/batch/driver"
)

// messageID is the message ID of what takes the place of an entry, so that it is
// stored once although it is tried again. Another holder's must be another: two
// would share one new message otherwise, and the one that comes second withdraw
// what the first has settled the job with.
func (r *receipt) messageID() string {
	if r.nonce == "" {
		r.nonce = nuid.Next()
	}
	return strconv.FormatUint(r.seq, 10) + "-" + r.nonce
}

var (
	errForeign = errors.New("the delivery is not one of this driver and queue")
	errLapsed  = errors.New("the lease ended, or it was settled before")
)

// settleError is the error of one settlement.
func (c *consumer) settleError(op string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTaken) || errors.Is(err, errLapsed):
		return &driver.Error{Driver: Name, Op: op, Queue: c.n.queue, Kind: driver.ErrLeaseLost, Fate: driver.FateNotStored}
	case errors.Is(err, errForeign):
		return &driver.Error{Driver: Name, Op: op, Queue: c.n.queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: err}
	}
	return fail(op, c.n.queue, err)
}

// receiptOf is the receipt of a delivery of this queue.
func (c *consumer) receiptOf(d *driver.Delivery) (*receipt, error) {
	if d == nil {
		return nil, errForeign
	}
	r, ok := d.Receipt.(*receipt)
	if !ok || r.n.stream != c.n.stream {
		return nil, errForeign
	}
	if r.settled.Load() {
		return nil, errLapsed
	}
	return r, nil
}

// Settle ends deliveries.
func (c *consumer) Settle(ctx context.Context, settlements []driver.Settlement) []error {
	const op = "settle"
	if len(settlements) == 0 {
		return nil
	}
	if err := c.enter(ctx, op); err != nil {
		return all(len(settlements), err)
	}
	defer c.leave()
	s := settling{c: c, ctx: ctx, settlements: settlements, now: time.Now(), busy: make([]*receipt, 0, len(settlements))}
	for i := range settlements {
		r, err := c.receiptOf(settlements[i].Delivery)
		if err == nil && !r.busy.CompareAndSwap(false, true) {
			err = errLapsed // somebody settles it just now
		}
		if err != nil {
			s.note(i, err)
			continue
		}
		s.busy = append(s.busy, r)
		switch o := settlements[i].Outcome; {
		case o == driver.Done && r.held(c, s.now):
			s.acks = append(s.acks, i)
		case o == driver.Done:
			s.removals = append(s.removals, i)
		case o == driver.Retry || o == driver.Release || o == driver.Dead:
			s.exchanges = append(s.exchanges, i)
		default:
			s.note(i, fmt.Errorf("%w: outcome %d is none", errForeign, o))
		}
	}
	if len(s.acks) > 0 {
		s.ack()
	}
	if len(s.removals) > 0 {
		s.remove()
	}
	if len(s.exchanges) > 0 {
		s.exchange()
	}
	for _, r := range s.busy {
		r.busy.Store(false)
	}
	var missing error
	for i, err := range s.errs {
		if isNobody(err) {
			if missing == nil {
				missing = c.d.missing(ctx, c.n, err)
			}
			err = missing
		}
		s.errs[i] = c.settleError(op, err)
	}
	return s.errs
}

// settling is one call of Settle.
type settling struct {
	c           *consumer
	ctx         context.Context
	settlements []driver.Settlement
	now         time.Time
	errs        []error
	busy        []*receipt
	// acks are done and certain to be held, removals are done and not, exchanges
	// have a new entry take the place of the old.
	acks, removals, exchanges []int
}

func (s *settling) note(i int, err error) {
	if s.errs == nil {
		s.errs = make([]error, len(s.settlements))
	}
	s.errs[i] = err
}

func (s *settling) receipt(i int) *receipt { return s.settlements[i].Delivery.Receipt.(*receipt) }

// ack acknowledges what is done, in the server's quickest way. It is certain
// that nobody else holds the jobs if the answers are there before the leases
// end; a later one proves nothing.
//
// Where there is one server, only the last is answered: it takes what comes on
// one connection in order, so that the others were taken before. The servers of
// a cluster may change places in between, and answer each.
func (s *settling) ack() {
	c := s.c
	asked := len(s.acks)
	if c.alone {
		asked = 1
	}
	f, err := c.d.link.fly(asked, "$JS.ACK.")
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
			err = f.ask(k, reply, nil, nil)
		case k == len(s.acks)-1:
			err = f.ask(0, reply, nil, nil)
		default:
			err = c.d.nc.Publish(reply, nil)
		}
		if err != nil {
			f.fail(err)
			break
		}
	}
	broken := f.wait(s.ctx)
	answered := time.Now()
	for k, i := range s.acks {
		r := s.receipt(i)
		m := f.answers[min(k, asked-1)]
		switch {
		case m == nil || m == notSent:
			// Some of them may have been sent.
			r.uncertain.Store(true)
			s.note(i, lostOr(broken))
		case status(m) == "503":
			// No consumer, no queue.
			r.uncertain.Store(true)
			s.removals = append(s.removals, i)
		case !r.held(c, answered):
			// It was acknowledged, but perhaps too late: the removal will tell.
			s.note(i, errLost)
		default:
			r.settled.Store(true)
		}
	}
}

// lostOr is why a flight ended without an answer.
func lostOr(broken error) error {
	if broken == nil {
		return errLost
	}
	return broken
}

// remove ends what is done where somebody else may have it: whoever removes the
// entry has settled the job.
func (s *settling) remove() {
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

// exchange stores what takes the place of entries and removes them.
func (s *settling) exchange() {
	c := s.c
	s.exchanges = s.present(s.exchanges)
	if len(s.exchanges) == 0 {
		return
	}
	now, err := c.d.serverNow(s.ctx, c.n)
	if err != nil {
		for _, i := range s.exchanges {
			s.note(i, err)
		}
		return
	}
	entries := make([]entry, len(s.exchanges))
	old := make([]uint64, len(s.exchanges))
	receipts := make([]*receipt, len(s.exchanges))
	for k, i := range s.exchanges {
		entries[k] = s.entry(&s.settlements[i], now)
		receipts[k] = s.receipt(i)
		old[k] = receipts[k].seq
	}
	for k, err := range c.exchange(s.ctx, entries, old, receipts) {
		i := s.exchanges[k]
		r := s.receipt(i)
		switch {
		case err == nil:
			r.settled.Store(true)
		case errors.Is(err, errTaken):
			r.settled.Store(true)
			s.note(i, err)
		default:
			r.uncertain.Store(true)
			s.note(i, err)
		}
	}
}

// present leaves out what is not there any more. Storing the new entry before
// the removal fails would show it for a moment, so what is not certain to be held
// is looked at first.
func (s *settling) present(index []int) []int {
	var doubtful []int
	var requests []getRequest
	for _, i := range index {
		if r := s.receipt(i); !r.held(s.c, s.now) {
			doubtful = append(doubtful, i)
			requests = append(requests, getRequest{Seq: r.seq})
		}
	}
	if len(doubtful) == 0 {
		return index
	}
	messages, err := s.c.d.getAll(s.ctx, s.c.n, requests)
	if isCode(err, codeStreamNotFound) {
		err, messages = nil, make([]*stored, len(requests))
	}
	gone := make(map[int]bool)
	for k, i := range doubtful {
		switch {
		case err != nil:
			s.note(i, err)
		case messages[k] == nil:
			s.receipt(i).settled.Store(true)
			s.note(i, errTaken)
		default:
			continue
		}
		gone[i] = true
	}
	kept := index[:0]
	for _, i := range index {
		if !gone[i] {
			kept = append(kept, i)
		}
	}
	return kept
}

// entry is what takes the place of a settled job.
func (s *settling) entry(t *driver.Settlement, now time.Time) entry {
	n, r := s.c.n, t.Delivery.Receipt.(*receipt)
	j := job{Message: t.Delivery.Message, deliveries: r.deliveries}
	switch t.Outcome {
	case driver.Retry:
		j.failures, j.lastError = t.Failures, t.Error
		var due time.Time
		if t.Delay > 0 {
			due = now.Add(time.Duration(ceilMS(t.Delay)) * time.Millisecond)
		}
		return n.entry(&j, due, natsMsgID, "retry-"+r.messageID())
	case driver.Release:
		j.failures, j.lastError = t.Delivery.Failures, t.Delivery.LastError
		return n.entry(&j, time.Time{}, natsMsgID, "release-"+r.messageID())
	default:
		j.failures, j.lastError, j.reason, j.diedAt = t.Failures, t.Error, t.Reason, now
		return entry{n.dead(j.ID), j.header(natsMsgID, "dead-"+r.messageID()), j.Body}
	}
}
