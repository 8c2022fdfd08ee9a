package nats

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/batch-go/batch/driver"
)

// Extend renews leases by the server's own means: "in progress" begins the
// consumer's AckWait anew, and a "nak" with a delay hands the job out after that
// delay and not before, which is a lease of any length (processNak in
// server/consumer.go). A nak counts no delivery.
func (c *consumer) Extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	const op = "extend"
	if len(deliveries) == 0 {
		return nil
	}
	if err := c.enter(ctx, op); err != nil {
		return all(len(deliveries), err)
	}
	defer c.leave()
	return c.extend(ctx, deliveries)
}

// extend is Extend within a call.
func (c *consumer) extend(ctx context.Context, deliveries []*driver.Delivery) []error {
	const op = "extend"
	var errs []error
	note := func(i int, err error) {
		if errs == nil {
			errs = make([]error, len(deliveries))
		}
		errs[i] = c.settleError(op, err)
	}
	payload := []byte("+WPI")
	if c.lease != ackWait {
		payload = []byte(`-NAK {"delay":` + strconv.FormatInt(int64(c.lease), 10) + `}`)
	}
	now := time.Now()
	receipts := make([]*receipt, len(deliveries))
	var doubtful []int
	var requests []getRequest
	for i, delivery := range deliveries {
		r, err := c.receiptOf(delivery)
		if err != nil {
			note(i, err)
			continue
		}
		receipts[i] = r
		if !r.held(c, now) {
			doubtful = append(doubtful, i)
			requests = append(requests, getRequest{Seq: r.seq})
		}
	}
	// What may have been lost is held as long as nobody took the entry over.
	if len(doubtful) > 0 {
		messages, err := c.d.getAll(ctx, c.n, requests)
		for k, i := range doubtful {
			switch {
			case isCode(err, codeStreamNotFound) || err == nil && messages[k] == nil:
				note(i, errTaken)
				receipts[i] = nil
			case err != nil:
				note(i, err)
				receipts[i] = nil
			}
		}
	}
	f, err := c.d.link.fly(len(deliveries), "$JS.ACK.")
	if err != nil {
		for i, r := range receipts {
			if r != nil {
				note(i, err)
			}
		}
		return errs
	}
	for i, r := range receipts {
		if r == nil {
			f.drop(i)
			continue
		}
		if err := f.ask(i, r.reply, nil, payload); err != nil {
			note(i, err)
		}
	}
	broken := f.wait(ctx)
	answered := time.Now()
	until := now.Add(c.lease)
	for i, r := range receipts {
		m := f.answers[i]
		switch {
		case r == nil || m == notSent:
		case m == nil:
			note(i, broken)
		case status(m) == "503":
			note(i, errors.Join(errLost, &noResponders{r.reply}))
		default:
			// An answer after the end of the lease does not say that it came in
			// time, so that it stays uncertain who settles; see held.
			if r.held(c, answered) {
				r.until.Store(&until)
			}
		}
	}
	return errs
}
