package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// Receive pulls what there is, or waits for the first.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if max < 1 || max > batchSize {
		err := fmt.Errorf("max is %d, which is not from 1 to %d", max, batchSize)
		return nil, faults.Refuse(op, c.n.queue, driver.ErrConfig, err, "")
	}
	inTurn := false
	for {
		deliveries, err := c.receive(ctx, max, inTurn)
		switch {
		case len(deliveries) > 0:
			return deliveries, nil
		case errors.Is(err, errCrowded):
			inTurn = true
		case err == nil || errors.Is(err, errEmpty):
			inTurn = false
		default:
			return nil, fail(op, c.n.queue, err)
		}
	}
}

// receive is one pull of a Receive.
func (c *consumer) receive(ctx context.Context, max int, inTurn bool) ([]*driver.Delivery, error) {
	if err := c.begin(ctx); err != nil {
		return nil, err
	}
	defer c.end()
	if !c.receives.Enter() {
		return nil, driver.ErrClosed
	}
	defer c.receives.Exit()
	messages, sent, err := c.puller.fetch(ctx, max, inTurn)
	if len(messages) > 0 {
		return c.deliver(ctx, messages, sent), nil
	}
	err = c.d.whyUnanswered(ctx, c.n, err)
	if errors.Is(err, errNoQueue) {
		c.deletions.Add(1)
	}
	return nil, err
}

// deliver makes deliveries of what arrived. What is no job, or was handed out
// before, is requeued.
func (c *consumer) deliver(ctx context.Context, messages []*natsgo.Msg, since time.Time) []*driver.Delivery {
	deliveries := make([]*driver.Delivery, 0, len(messages))
	var requeue []*natsgo.Msg
	var predecessors []getRequest
	until := since.Add(min(c.lease, ackWait))
	current := c.epoch()
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
			requeue = append(requeue, m)
			continue
		}
		if j.instead != 0 {
			predecessors = append(predecessors, getRequest{Seq: j.instead})
		}
		h := &slab[i]
		h.receipt.n, h.receipt.seq, h.receipt.reply = c.n, seq, m.Reply
		h.receipt.deliveries, h.receipt.lost, h.receipt.hold = j.deliveries+1, j.lost, j.hold
		h.receipt.epoch = current
		h.receipt.until.Store(&until)
		h.delivery = driver.Delivery{
			Message: j.Message, Failures: j.failures, LastError: j.lastError, Bounces: j.bounces, BouncedSince: j.bouncedSince,
			Deliveries: j.deliveries + 1, Redeliveries: j.lost, Receipt: &h.receipt,
		}
		deliveries = append(deliveries, &h.delivery)
	}
	c.requeueLater(requeue)
	if len(predecessors) > 0 {
		c.awaitRemoval(ctx, predecessors)
	}
	return c.adjustLeases(ctx, deliveries)
}

// removalTime bounds awaitRemoval: a removal takes as long as storing did.
const removalTime = 500 * time.Millisecond

// awaitRemoval waits until the entries are gone that the entries just received
// replace: the process that requeued them stores first and removes next, and until
// then the former holder may take itself for one that is merely late. If that
// process died in between, the old entry comes again, and is not waited for.
func (c *consumer) awaitRemoval(ctx context.Context, predecessors []getRequest) {
	ctx, cancel := context.WithTimeout(ctx, removalTime)
	defer cancel()
	for pause := time.Millisecond; ; pause *= 2 {
		there := false
		messages, err := c.d.getAll(ctx, c.n, predecessors)
		for _, m := range messages {
			there = there || m != nil
		}
		if err != nil || !there || c.d.conn.sleep(ctx, pause) != nil {
			return
		}
	}
}

// adjustLeases gives deliveries the consumer's lease. The server gave them the
// length that all have.
func (c *consumer) adjustLeases(ctx context.Context, deliveries []*driver.Delivery) []*driver.Delivery {
	if c.lease == ackWait || len(deliveries) == 0 {
		return deliveries
	}
	errs := c.extend(ctx, deliveries)
	if errs == nil {
		return deliveries
	}
	kept := deliveries[:0]
	for i, delivery := range deliveries {
		// What could not be extended has the server's lease; it is lost only if that
		// is over already.
		if !errors.Is(errs[i], driver.ErrLeaseLost) {
			kept = append(kept, delivery)
		}
	}
	return kept
}
