package nats

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Extend renews leases by the server's own means: "in progress" begins the
// consumer's AckWait anew, and a "nak" with a delay hands the job out after that
// delay and not before, which is a lease of any length (processNak in
// server/consumer.go). A nak counts no delivery.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	if len(deliveries) == 0 {
		return nil
	}
	if err := c.begin(ctx); err != nil {
		return fault.All(len(deliveries), fail("extend", c.n.queue, err))
	}
	defer c.end()
	return c.extend(ctx, deliveries)
}

// extend is Extend within a call.
func (c *consumer) extend(ctx context.Context, deliveries []*driver.Delivery) (errs []error) {
	note := func(i int, err error) {
		if err != nil {
			errs = fault.Set(errs, len(deliveries), i, fail("extend", c.n.queue, err))
		}
	}
	now := time.Now()
	receipts := make([]*receipt, len(deliveries))
	for i, delivery := range deliveries {
		r, err := c.n.receiptOf(delivery)
		receipts[i] = r
		note(i, err)
	}
	for i, err := range c.verify(ctx, receipts, now) {
		if err != nil {
			receipts[i] = nil
			note(i, err)
		}
	}
	renewed := c.renew(ctx, receipts, now)
	c.explain(ctx, renewed)
	for i, err := range renewed {
		note(i, err)
	}
	return errs
}

// explain replaces the errors of deliveries that nobody answered by the reason. Of
// a queue that was deleted no delivery is held any more.
func (c *consumer) explain(ctx context.Context, errs []error) {
	var unanswered error
	for i, err := range errs {
		if isUnanswered(err) {
			if unanswered == nil {
				unanswered = c.d.whyUnanswered(ctx, c.n, err)
			}
			err = unanswered
		}
		if isNoQueue(err) {
			err = errTaken
		}
		errs[i] = err
	}
}

// verify looks whether the entries are still there, and not taken over, whose leases
// are not certain to be held: a lease is held as long as nobody took the entry over, and
// errTaken says that somebody did. Receipts that are nil are left out. It returns nil if no
// entry had to be looked for.
func (c *consumer) verify(ctx context.Context, receipts []*receipt, now time.Time) []error {
	var doubtful []int
	var requests []getRequest
	for i, r := range receipts {
		if r != nil && !r.held(now, c.epoch()) {
			doubtful = append(doubtful, i)
			requests = append(requests, getRequest{Seq: r.seq})
		}
	}
	if len(doubtful) == 0 {
		return nil
	}
	for _, i := range doubtful {
		requests = append(requests, getRequest{Last: c.n.held(receipts[i].seq)})
	}
	messages, err := c.d.getAll(ctx, c.n, requests)
	errs := make([]error, len(receipts))
	for k, i := range doubtful {
		switch {
		case isCode(err, codeStreamNotFound) || err == nil && messages[k] == nil:
			errs[i] = errTaken
		case err == nil && messages[len(doubtful)+k] != nil && markedBy(messages[len(doubtful)+k]) > receipts[i].delivered:
			errs[i] = errTaken
		case err != nil:
			errs[i] = err
		}
	}
	return errs
}

// renew asks the server for another lease of each receipt that is not nil, and
// returns the errors, or nil. now is when the leases begin at the earliest.
func (c *consumer) renew(ctx context.Context, receipts []*receipt, now time.Time) []error {
	errs := make([]error, len(receipts))
	scope := ""
	if i := slices.IndexFunc(receipts, func(r *receipt) bool { return r != nil }); i >= 0 {
		scope = receipts[i].ackScope()
	}
	reqs, err := c.d.conn.requests(len(receipts), scope)
	if err != nil {
		for i, r := range receipts {
			if r != nil {
				errs[i] = err
			}
		}
		return errs
	}
	payload := []byte("+WPI")
	if c.lease != ackWait {
		payload = lease(c.lease)
	}
	for i, r := range receipts {
		if r == nil {
			reqs.skip(i)
		} else {
			errs[i] = reqs.send(i, r.reply, nil, payload)
		}
	}
	broken := reqs.wait(ctx)
	answered := time.Now()
	until := now.Add(c.lease)
	for i, r := range receipts {
		m := reqs.answers[i]
		switch {
		case r == nil || m == unsent:
		case m == nil:
			errs[i] = broken
		case status(m) == "503":
			errs[i] = errors.Join(errLost, &noResponders{r.reply})
		default:
			r.extend(until)
			// An answer after the end of the lease does not say that it came in
			// time, so that it stays uncertain who settles; see held.
			if r.held(answered, c.epoch()) {
				r.until.Store(&until)
			}
		}
	}
	return errs
}

// Abandon does nothing: what is not extended any more becomes available when its
// lease ends.
func (*consumer) Abandon(context.Context, []*driver.Delivery) {}
