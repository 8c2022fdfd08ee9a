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
	// maxNewPages is how many answers in a row that have only dead letters of after
	// the scan's begin end it. A standard queue has no order, so that one such answer
	// may have older ones behind it. Each takes up to ten new ones out of the way.
	maxNewPages = 10
	// restoreTimeout bounds giving dead letters back, which goes on when the
	// caller's ctx has ended.
	restoreTimeout = 10 * time.Second
)

// scan receives the dead letters that were there when it began and calls visit with
// up to ten at a time, each once. Those that visit returns are gone; the others are
// given back at the end.
func (b *base) scan(ctx context.Context, q *knownQueue, visit func([]*receipt) (gone []*receipt, err error)) (err error) {
	held := make(map[string]*receipt)
	defer func() {
		if failed := b.restore(ctx, held); err == nil {
			err = failed
		}
	}()
	s := scanned{messages: make(map[string]bool), jobs: make(map[string]bool)}
	for waited, newPages := 0, 0; newPages < maxNewPages; {
		asked := sinceEpoch()
		page, err := b.receiveDead(ctx, q.urls[toDead])
		if err != nil {
			return err
		}
		for _, r := range page {
			// Of two handles the later one counts. The rest of the message is not kept.
			held[r.id] = &receipt{url: r.url, handle: r.handle}
		}
		shown, known := s.sift(page, asked)
		switch {
		case len(shown) > 0:
			gone, err := visit(shown)
			for _, r := range gone {
				delete(held, r.id)
			}
			if err != nil {
				return err
			}
			newPages = 0
		case len(page) == 0:
			n, err := b.client.count(ctx, q.urls[toDead])
			if err != nil {
				return err
			}
			if n.invisible <= int64(len(held)) || waited == maxScanWaits {
				return nil
			}
			waited++ // somebody else is looking at some
		case known == len(page):
			return nil // the first ones come again: all were seen
		default:
			newPages++
		}
	}
	return nil
}

// scanned is what a scan has seen.
type scanned struct {
	// messages and jobs are the IDs of both.
	messages, jobs map[string]bool
	// began is when the scan first asked, since epoch.
	began time.Duration
	// What was sent after ceiling, by SQS's clock, was not there when the scan began,
	// and what was sent before floor was. They are zero before the first answer.
	floor, ceiling time.Time
	// exact is set once ceiling is that of a message which was handed out for the first
	// time, so that it tells what was there from what was not.
	exact bool
}

// sift returns the messages of an answer that the scan is to show, and how many it
// had seen before; asked is when the request was sent, since epoch. A dead letter may
// be that of a job which died anew because this very scan redrove it: the scan would
// not end. So it shows none of after its begin.
// Two letters of one job that were there before are both shown.
func (s *scanned) sift(page []*receipt, asked time.Duration) (shown []*receipt, known int) {
	s.begin(page, asked)
	for _, r := range page {
		if s.messages[r.id] {
			known++
			continue
		}
		s.messages[r.id] = true
		// Without an exact time, one that nobody has received before may be either.
		unclear := !s.exact && r.received == 1 && !r.sent.Before(s.floor)
		if r.sent.After(s.ceiling) || unclear && s.jobs[r.meta.ID] {
			continue
		}
		s.jobs[r.meta.ID] = true
		shown = append(shown, r)
	}
	return shown, known
}

// begin finds by SQS's clock when the scan began. The first answer tells the whole
// second. The first message that was handed out for the first time tells when SQS did
// so, and how long that was after the begin is known here.
func (s *scanned) begin(page []*receipt, asked time.Duration) {
	if s.exact || len(page) == 0 {
		return
	}
	if s.ceiling.IsZero() {
		s.began = asked
		s.floor = page[0].answered
		if s.floor.IsZero() {
			s.floor = time.Now() // a server that tells no time at all
		}
		s.ceiling = s.floor.Add(time.Second)
	}
	var first time.Time
	for _, r := range page {
		if r.received == 1 && r.first.After(first) {
			first = r.first
		}
	}
	if first.IsZero() {
		return
	}
	s.exact = true
	// SQS did so after it was asked, and leaves out parts of a millisecond.
	s.ceiling = first.Add(s.began - asked)
	if asked > s.began {
		s.ceiling = s.ceiling.Add(time.Millisecond)
	}
}

// receiveDead receives up to ten dead letters. A request that is cut off may have been
// handed some, which would be hidden for scanVisibility. So when ctx ends, it goes on
// without the caller, until Close cuts it off, and what it brings is given back.
func (b *base) receiveDead(ctx context.Context, url string) ([]*receipt, error) {
	type answer struct {
		page []*receipt
		err  error
	}
	answers := make(chan answer)
	counted := b.handle.Begin(b.alive) == nil // not while Close waits for this very call
	go func() {
		if counted {
			defer b.handle.End()
		}
		own, cancel := context.WithTimeoutCause(b.alive, scanWait+pollGrace, errPollHangs)
		defer cancel()
		page, err := b.client.receive(own, url, maxEntries, seconds(scanVisibility), scanWait)
		if err != nil && context.Cause(own) == errPollHangs {
			err = errPollHangs // no context of the caller's ended
		}
		select {
		case answers <- answer{page, err}:
		case <-ctx.Done():
			own, cancel := context.WithTimeout(b.alive, restoreTimeout)
			defer cancel()
			_ = b.showAll(own, page)
		}
	}()
	select {
	case a := <-answers:
		return a.page, a.err
	case <-ctx.Done():
		return nil, endOf(ctx)
	}
}

// restore gives dead letters back. One that it cannot comes back by itself. When ctx
// ends, it goes on without the caller, until Close cuts it off.
func (b *base) restore(ctx context.Context, held map[string]*receipt) error {
	if len(held) == 0 {
		return nil
	}
	receipts := make([]*receipt, 0, len(held))
	for _, r := range held {
		receipts = append(receipts, r)
	}
	counted := b.handle.Begin(b.alive) == nil // not while Close waits for this very call
	restored := make(chan error, 1)
	go func() {
		own, cancel := context.WithTimeout(b.alive, restoreTimeout)
		defer cancel()
		restored <- b.showAll(own, receipts)
		if counted {
			b.handle.End()
		}
	}()
	select {
	case err := <-restored:
		return err
	case <-ctx.Done():
		return endOf(ctx)
	}
}

// showAll ends the visibility timeouts of messages.
func (b *base) showAll(ctx context.Context, receipts []*receipt) error {
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
