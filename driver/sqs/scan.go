package sqs

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch/driver"
)

const (
	// scanVisibility is for how long a dead letter that is being looked at is
	// hidden from others, should the process die: long enough to read 100 000 at
	// 1000 a second.
	scanVisibility = 2 * time.Minute
	// scanWait makes the last request, which finds nothing, ask all of SQS's
	// servers: with no wait it asks some, and may miss dead letters.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
	scanWait = time.Second
	// maxScanWaits is how often a scan waits for another one, which hides dead
	// letters from it, to give them back.
	maxScanWaits = 5
	// restoreTimeout bounds giving dead letters back, which goes on when the
	// caller's ctx has ended.
	restoreTimeout = 10 * time.Second
)

// scan receives every dead letter and calls visit with up to ten at a time. Those
// that visit returns are gone; the others are given back at the end.
func (b *base) scan(ctx context.Context, q *knownQueue, visit func([]*receipt) (gone []*receipt, err error)) (err error) {
	held := make(map[string]*receipt)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTimeout)
		defer cancel()
		if failed := b.restore(ctx, held); err == nil {
			err = failed
		}
	}()
	seen := make(map[string]bool)
	for waited := 0; ; {
		page, err := b.client.receive(ctx, q.urls[toDead], maxEntries, seconds(scanVisibility), scanWait)
		if err != nil {
			return err
		}
		var fresh []*receipt
		for _, r := range page {
			held[r.id] = r // of two handles the later one counts
			if !seen[r.id] {
				seen[r.id] = true
				fresh = append(fresh, r)
			}
		}
		if len(fresh) > 0 {
			gone, err := visit(fresh)
			for _, r := range gone {
				delete(held, r.id)
			}
			if err != nil {
				return err
			}
			continue
		}
		if len(page) > 0 {
			return nil // the first ones come again: all were seen
		}
		n, err := b.client.count(ctx, q.urls[toDead])
		if err != nil {
			return err
		}
		if n.invisible <= int64(len(held)) || waited == maxScanWaits {
			return nil
		}
		waited++ // somebody else is looking at some
	}
}

// restore gives dead letters back. One that it cannot comes back by itself.
func (b *base) restore(ctx context.Context, held map[string]*receipt) error {
	receipts := make([]*receipt, 0, len(held))
	for _, r := range held {
		receipts = append(receipts, r)
	}
	var first error
	for len(receipts) > 0 {
		n := min(len(receipts), settleBatch)
		for _, err := range b.client.changeVisibility(ctx, receipts[:n], 0) {
			if err != nil && first == nil && !errors.Is(classify(err).Kind, driver.ErrLeaseLost) {
				first = err
			}
		}
		receipts = receipts[n:]
	}
	return first
}
