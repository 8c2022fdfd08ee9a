package nats

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// receipt is what settling a delivery takes.
type receipt struct {
	n     *names
	seq   uint64
	reply string // where acknowledgements go
	// count is how often the entry was handed out; always 1, see below.
	deliveries, lost int

	// until is when the lease ends at the earliest, in Unix ns by the wall clock
	// and by the monotonic one: a machine that slept has only the first go on.
	until     atomic.Pointer[time.Time]
	settled   atomic.Bool
	uncertain atomic.Bool // for good, once set
	busy      atomic.Bool // a Settle is under way
	// nonce makes the message IDs of this holder's settlements its own, and
	// removing says that a removal of the entry was sent; both belong to the
	// Settle under way.
	nonce    string
	removing bool
	// generation and losses are those of consumer and link at the delivery.
	generation, losses uint64
}

// An entry that the server hands out a second time is not handed on: its first
// holder may still be there, and the server takes an acknowledgement from
// anybody for anything (processAckMsg in server/consumer.go looks at the sequence
// only). Instead it is stored anew and the old entry removed; then the sequence
// of an entry is as good as a fencing token: the first to remove it settles the
// job, and nobody else can. That moves a job whose holder vanished to the end of
// the queue.

// held tells whether the lease is certain to be held now.
func (r *receipt) held(c *consumer, now time.Time) bool {
	if r.uncertain.Load() {
		return false
	}
	until := *r.until.Load()
	if now.Before(until) && now.Round(0).Before(until.Round(0)) && r.generation == c.generation.Load() && r.losses == c.d.link.losses.Load() {
		return true
	}
	r.uncertain.Store(true)
	return false
}

// ackReply are the parts of the subject for acknowledgements that matter:
// $JS.ACK.<stream>.<consumer>.<delivered>.<seq>..., or with domain and account
// behind ACK (ADR-15).
func ackReply(subject string) (delivered int64, seq uint64, ok bool) {
	skip := 4
	switch dots := strings.Count(subject, "."); {
	case dots == 8:
	case dots >= 10:
		skip = 6
	default:
		return 0, 0, false
	}
	rest := subject
	for range skip {
		_, rest, _ = strings.Cut(rest, ".")
	}
	first, rest, _ := strings.Cut(rest, ".")
	second, _, _ := strings.Cut(rest, ".")
	delivered, err1 := parseInt(first)
	s, err2 := parseInt(second)
	if err1 != nil || err2 != nil || delivered < 1 || s < 1 {
		return 0, 0, false
	}
	return delivered, uint64(s), true
}

// open makes deliveries of what arrived. What is no job, or was handed out
// before, is dealt with in the background.
func (c *consumer) open(ctx context.Context, messages []*natsgo.Msg, since time.Time) []*driver.Delivery {
	deliveries := make([]*driver.Delivery, 0, len(messages))
	var bad []*natsgo.Msg
	var before []getRequest
	until := since.Add(min(c.lease, ackWait))
	losses := c.d.link.losses.Load()
	generation := c.generation.Load()
	type held struct {
		delivery driver.Delivery
		receipt  receipt
	}
	// One array for all: they live and die together, more or less.
	slab := make([]held, len(messages))
	for i, m := range messages {
		delivered, seq, ok := ackReply(m.Reply)
		var j job
		if !ok || delivered > 1 || !j.read(m.Header, m.Data) {
			bad = append(bad, m)
			continue
		}
		if j.instead != 0 {
			before = append(before, getRequest{Seq: j.instead})
		}
		h := &slab[i]
		h.receipt.n, h.receipt.seq, h.receipt.reply = c.n, seq, m.Reply
		h.receipt.deliveries, h.receipt.lost = j.deliveries+1, j.lost
		h.receipt.generation, h.receipt.losses = generation, losses
		h.receipt.until.Store(&until)
		h.delivery = driver.Delivery{
			Message: j.Message, Failures: j.failures, LastError: j.lastError,
			Deliveries: j.deliveries + 1, Redeliveries: j.lost, Receipt: &h.receipt,
		}
		deliveries = append(deliveries, &h.delivery)
	}
	if len(bad) > 0 {
		c.mu.Lock()
		c.mend(bad)
		c.mu.Unlock()
	}
	if len(before) > 0 {
		c.outlast(ctx, before)
	}
	if c.lease != ackWait && len(deliveries) > 0 {
		// The server gave them the length that all have.
		errs := c.extend(ctx, deliveries)
		if errs != nil {
			kept := deliveries[:0]
			for i, delivery := range deliveries {
				// What could not be extended has the server's lease; it is lost only
				// if that is over already.
				if !errors.Is(errs[i], driver.ErrLeaseLost) {
					kept = append(kept, delivery)
				}
			}
			deliveries = kept
		}
	}
	return deliveries
}

// outlast waits until entries are gone whose place others took that were just
// received: who stored those anew removes the old ones next, and until then the
// holder before may take itself for one that is merely late. If the process that
// does it died in between, the old entry comes again, and is not waited for.
func (c *consumer) outlast(ctx context.Context, before []getRequest) {
	ctx, cancel := context.WithTimeout(ctx, outlastTime)
	defer cancel()
	for pause := time.Millisecond; ; pause *= 2 {
		there := false
		messages, err := c.d.getAll(ctx, c.n, before)
		for _, m := range messages {
			there = there || m != nil
		}
		if err != nil || !there {
			return
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// outlastTime bounds the waiting: a removal takes as long as storing did.
const outlastTime = 500 * time.Millisecond

// mendTime bounds the storing anew. What is not done by then the server hands
// out once more.
const mendTime = 10 * time.Second

// mend deals with entries that are not handed on, in the background: those that
// came with them are not to wait. c.mu must be held, and if the consumer is
// closed, a call be under way.
func (c *consumer) mend(bad []*natsgo.Msg) {
	if len(bad) == 0 {
		return
	}
	c.mending.Add(1)
	go func() {
		defer c.mending.Done()
		ctx, cancel := context.WithTimeout(context.Background(), mendTime)
		defer cancel()
		if c.d.enter(ctx, "receive", c.n.queue) == nil {
			c.replace(ctx, bad)
			c.d.leave()
		}
	}()
}

// replace stores entries anew and removes the old ones. All deliveries before
// the one to this process had a holder that vanished. What is no job becomes a
// dead letter if it has a body.
func (c *consumer) replace(ctx context.Context, messages []*natsgo.Msg) {
	var entries []entry
	var old []uint64
	var drop []uint64
	for _, m := range messages {
		delivered, seq, ok := ackReply(m.Reply)
		if !ok {
			continue
		}
		var j job
		if j.read(m.Header, m.Data) {
			j.deliveries += int(delivered) - 1
			j.lost += int(delivered) - 1
			entries = append(entries, c.n.entry(&j, time.Time{}, headerInstead, strconv.FormatUint(seq, 10)))
			old = append(old, seq)
			continue
		}
		if len(m.Data) == 0 {
			drop = append(drop, seq)
			continue
		}
		letter, err := c.unreadable(ctx, &j, seq)
		if err != nil {
			continue // it comes again
		}
		entries, old = append(entries, letter), append(old, seq)
	}
	if len(entries) > 0 {
		c.exchange(ctx, entries, old, nil)
	}
	if len(drop) > 0 {
		c.d.remove(ctx, c.n, drop)
	}
}

// unreadable makes a dead letter of what is no job.
func (c *consumer) unreadable(ctx context.Context, j *job, seq uint64) (entry, error) {
	now, err := c.d.serverNow(ctx, c.n)
	if err != nil {
		return entry{}, err
	}
	// Of the rest of it nothing can be trusted, and all of it must be listed.
	letter := job{Message: driver.Message{ID: j.ID, Kind: j.Kind, Body: j.Body, ContentType: defaultType, EnqueuedAt: j.EnqueuedAt}}
	if !visible(letter.ID) {
		letter.ID = fmt.Sprintf("unreadable-%d", seq)
	}
	if !visible(letter.Kind) {
		letter.Kind = "unreadable"
	}
	if letter.EnqueuedAt.IsZero() {
		letter.EnqueuedAt = now
	}
	letter.reason, letter.diedAt, letter.deliveries = driver.ReasonUnreadable, now, 1
	return entry{c.n.dead(letter.ID), letter.header(), letter.Body}, nil
}

// exchange stores new entries and then removes the old ones. Where an old one
// was gone, the new one is withdrawn and the error is errTaken. The receipts, if
// there are any, are those of the old ones.
func (c *consumer) exchange(ctx context.Context, entries []entry, old []uint64, receipts []*receipt) []error {
	acks, errs := c.d.publish(ctx, c.n, entries)
	if errs == nil {
		errs = make([]error, len(entries))
	}
	var index []int
	var remove []uint64
	for i, err := range errs {
		if err == nil {
			index = append(index, i)
			remove = append(remove, old[i])
		}
	}
	if len(remove) == 0 {
		return errs
	}
	var withdraw []uint64
	for k, err := range c.d.remove(ctx, c.n, remove) {
		i := index[k]
		if errs[i] = err; !errors.Is(err, errTaken) {
			continue
		}
		// What an earlier try has stored already, and perhaps removed the old one
		// for, is what there is of the job now.
		if receipts == nil || !acks[i].Duplicate || !receipts[i].removing {
			withdraw = append(withdraw, acks[i].Seq)
		}
	}
	if receipts != nil {
		for _, i := range index {
			receipts[i].removing = true
		}
	}
	if len(withdraw) > 0 {
		// If this fails the job is there twice, which a crash may do as well.
		c.d.remove(ctx, c.n, withdraw)
	}
	return errs
}
