package sqs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
)

const (
	// scanHold is for how long a dead letter that is being looked at is hidden
	// from others, should the process die: long enough to read 100 000 at 1000 a
	// second.
	scanHold = 2 * time.Minute
	// scanWait makes the last request, which finds nothing, ask all of SQS's
	// servers: with no wait it asks some, and may miss letters.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-short-and-long-polling.html
	scanWait = 1
	// scanPatience is how often a scan waits for another one, which hides letters
	// from it, to give them back.
	scanPatience = 5
	// restoreTime bounds giving letters back, which goes on when the caller's ctx
	// has ended.
	restoreTime = 10 * time.Second
)

// scan receives every dead letter and calls visit with up to ten at a time. The
// letters that visit returns are gone; the others are given back at the end.
func (b *base) scan(ctx context.Context, q *queue, visit func([]*receipt) (taken []*receipt, err error)) (err error) {
	held := make(map[string]*receipt)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		if again := b.restore(ctx, held); err == nil {
			err = again
		}
	}()
	seen := make(map[string]bool)
	for waited := 0; ; {
		page, err := b.look(ctx, q)
		if err != nil {
			return err
		}
		fresh := page[:0]
		for _, r := range page {
			held[r.id] = r // of two handles the later one counts
			if !seen[r.id] {
				seen[r.id] = true
				fresh = append(fresh, r)
			}
		}
		if len(fresh) > 0 {
			taken, err := visit(fresh)
			for _, r := range taken {
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
		c, err := b.count(ctx, q.dead)
		if err != nil {
			return err
		}
		if c.hidden <= int64(len(held)) || waited == scanPatience {
			return nil
		}
		waited++ // somebody else is looking at some
	}
}

// look receives up to ten dead letters.
func (b *base) look(ctx context.Context, q *queue) ([]*receipt, error) {
	out, err := b.client.ReceiveMessage(ctx, &awssqs.ReceiveMessageInput{
		QueueUrl: &q.dead, MaxNumberOfMessages: requestEntries,
		VisibilityTimeout: seconds(scanHold), WaitTimeSeconds: scanWait,
		MessageAttributeNames: wantedAttributes, MessageSystemAttributeNames: systemAttributes,
	})
	if err != nil {
		return nil, err
	}
	page := make([]*receipt, len(out.Messages))
	for i := range out.Messages {
		page[i] = newReceipt(q.dead, &out.Messages[i], time.Time{})
	}
	return page, nil
}

// restore gives letters back. One that cannot be comes back by itself.
func (b *base) restore(ctx context.Context, held map[string]*receipt) error {
	all := make([]*receipt, 0, len(held))
	for _, r := range held {
		all = append(all, r)
	}
	var first error
	for len(all) > 0 {
		n := min(len(all), settleBatch)
		for _, err := range b.hide(ctx, all[:n], 0) {
			if err != nil && first == nil && !errors.Is(classify(err).kind, driver.ErrLeaseLost) {
				first = err
			}
		}
		all = all[n:]
	}
	return first
}

// letter is a dead letter and its place among them.
type letter struct {
	driver.DeadLetter
	place place
}

// place is where a dead letter stands: by time, and where that is the same, by
// SQS's ID. As a cursor it also names the listing that it is of.
type place struct {
	listing string
	at      int64
	id      string
}

func (p place) compare(q place) int {
	switch {
	case p.at < q.at:
		return -1
	case p.at > q.at:
		return 1
	}
	return strings.Compare(p.id, q.id)
}

// String is the place as a cursor.
func (p place) String() string { return fmt.Sprintf("%s/%d/%s", p.listing, p.at, p.id) }

var errCursor = errors.New("the cursor is not one of this driver")

func parseCursor(s string) (place, error) {
	if s == "" {
		return place{}, nil
	}
	parts := strings.SplitN(s, "/", 3)
	if len(parts) != 3 {
		return place{}, errCursor
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return place{}, errCursor
	}
	return place{listing: parts[0], at: at, id: parts[2]}, nil
}

// listing are the dead letters of a queue as they were read for a first page, so
// that the next pages need not read them all again.
type listing struct {
	id      string
	letters []letter
	expiry  *time.Timer
}

// listingTime is how long a listing waits for its next page. One that has gone
// is read anew, and the page begins after the place that the cursor names.
const listingTime = time.Minute

func newListing() *listing { return &listing{id: rand.Text()} }

// listings are those that wait for their next page, one for each queue.
type listings struct {
	mu      sync.Mutex // guards following
	byQueue map[string]*listing
}

// listing finds the one that a cursor is of.
func (b *base) listing(queueName, id string) *listing {
	b.listings.mu.Lock()
	defer b.listings.mu.Unlock()
	if l := b.listings.byQueue[queueName]; l != nil && l.id == id && id != "" {
		return l
	}
	return nil
}

func (b *base) keepListing(queueName string, l *listing) {
	b.listings.mu.Lock()
	defer b.listings.mu.Unlock()
	if old := b.listings.byQueue[queueName]; old != nil {
		old.expiry.Stop()
	}
	if b.listings.byQueue == nil {
		b.listings.byQueue = make(map[string]*listing)
	}
	b.listings.byQueue[queueName] = l
	l.expiry = time.AfterFunc(listingTime, func() {
		b.listings.mu.Lock()
		defer b.listings.mu.Unlock()
		if b.listings.byQueue[queueName] == l {
			delete(b.listings.byQueue, queueName)
		}
	})
}

func (b *base) dropListing(queueName string) {
	b.listings.mu.Lock()
	defer b.listings.mu.Unlock()
	if l := b.listings.byQueue[queueName]; l != nil {
		l.expiry.Stop()
		delete(b.listings.byQueue, queueName)
	}
}

func (b *base) dropListings() {
	b.listings.mu.Lock()
	defer b.listings.mu.Unlock()
	for queueName, l := range b.listings.byQueue {
		l.expiry.Stop()
		delete(b.listings.byQueue, queueName)
	}
}
