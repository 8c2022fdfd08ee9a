package nats

import (
	"context"
	"errors"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// Receive pulls what there is, or waits for the first.
func (c *consumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	const op = "receive"
	if err := faults.CheckReceive(c.n.queue, max, batchSize); err != nil {
		return nil, err
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
	c.look()
	if trouble := c.trouble.Swap(nil); trouble != nil {
		return nil, *trouble
	}
	if ready := c.takeReady(max); len(ready) > 0 {
		return c.adjustLeases(ctx, ready), nil
	}
	// From before the pull: what came by a connection that was lost since is not certain.
	current := c.epoch()
	messages, sent, err := c.puller.fetch(ctx, max, inTurn)
	if len(messages) > 0 {
		return c.deliver(ctx, messages, sent, current), nil
	}
	if isUnanswered(err) || errors.Is(err, errNoQueue) {
		c.deletions.Add(1) // of the queue, or of its consumer, which is made again
	}
	err = c.d.whyUnanswered(ctx, c.n, err)
	return nil, err
}

// deliver makes deliveries of what arrived. What is no job is dead-lettered, what came
// before its time is put back, and what was handed out before is taken over.
func (c *consumer) deliver(ctx context.Context, messages []*natsgo.Msg, since time.Time, current epoch) []*driver.Delivery {
	deliveries := make([]*driver.Delivery, 0, len(messages))
	var requeue, early []*natsgo.Msg
	var again []*driver.Delivery
	until := since.Add(min(c.lease, ackWait))
	type held struct {
		delivery driver.Delivery
		receipt  receipt
	}
	// One array for all: they live and die together, more or less.
	slab := make([]held, len(messages))
	for i, m := range messages {
		delivered, seq, ok := ackReply(m.Reply)
		var j job
		if !ok || !j.read(m.Header, m.Data) {
			requeue = append(requeue, m)
			continue
		}
		if c.d.isEarly(m.Header) {
			early = append(early, m)
			continue
		}
		if delivered > 1 && c.d.spare(c.holders, m.Reply, seq, delivered) {
			continue
		}
		lost := c.holders.lost(seq, delivered)
		h := &slab[i]
		h.receipt.n, h.receipt.seq, h.receipt.reply, h.receipt.delivered = c.n, seq, m.Reply, delivered
		h.receipt.deliveries, h.receipt.lost, h.receipt.hold = addCounts(j.deliveries, lost+1), addCounts(j.lost, lost), j.hold
		h.receipt.epoch = current
		h.receipt.until.Store(&until)
		h.receipt.slack = c.puller.expires
		h.receipt.extend(until)
		h.delivery = driver.Delivery{
			Message: j.Message, Failures: j.failures, LastError: j.lastError, Bounces: j.bounces, BouncedSince: j.bouncedSince,
			Deliveries: h.receipt.deliveries, Redeliveries: h.receipt.lost, Receipt: &h.receipt,
		}
		if delivered > 1 {
			again = append(again, &h.delivery)
		} else {
			deliveries = append(deliveries, &h.delivery)
		}
	}
	c.requeueLater(requeue)
	c.putBack(ctx, early)
	c.holders.add(deliveries)
	if again = c.takeOver(ctx, again); len(again) > 0 {
		c.holders.add(again)
		deliveries = append(again, deliveries...)
	}
	return c.adjustLeases(ctx, deliveries)
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
