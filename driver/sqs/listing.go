package sqs

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch/driver"
)

// deadLetter is a dead letter and its position among the others.
type deadLetter struct {
	driver.DeadLetter
	position position
}

// newDeadLetter reads a message of the dead-letter queue. One that is no dead
// letter, because somebody else put it there, is shown as unreadable.
func newDeadLetter(r *receipt) deadLetter {
	body, err := decodeBody(r.body, r.meta.Encoding)
	if err != nil {
		body = []byte(r.body)
	}
	d := driver.DeadLetter{
		Message:  r.meta.message(body, r.sent),
		Failures: r.meta.Failures, LastError: r.meta.Error, Deliveries: r.meta.Deliveries,
		Bounces: r.meta.Bounces, BouncedSince: timeOf(r.meta.Bounced),
		Reason: r.meta.Reason, DeadAt: r.sent,
	}
	if r.meta.Died != 0 {
		d.DeadAt = timeOf(r.meta.Died)
	}
	if r.err != nil && !errors.Is(r.err, errNoKind) || d.Reason == "" {
		d.Reason = driver.ReasonUnreadable
	}
	return deadLetter{DeadLetter: d, position: position{at: d.DeadAt.UnixMilli(), id: r.id}}
}

// position orders dead letters: by time, and where that is the same, by SQS's ID.
type position struct {
	at int64 // in ms since 1970
	id string
}

// compare is negative if p comes before q.
func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.at, q.at), strings.Compare(p.id, q.id))
}

// cursor is where a page ended: the position of its last dead letter, and the ID
// of the listing that it is of.
type cursor struct {
	listing string
	position
}

// String is the cursor as callers have it.
func (c cursor) String() string { return fmt.Sprintf("%s/%d/%s", c.listing, c.at, c.id) }

var errCursor = errors.New("the cursor is not one of this driver")

// parseCursor is the inverse of String. The cursor of the first page is empty.
func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	parts := strings.SplitN(s, "/", 3)
	if len(parts) != 3 {
		return cursor{}, errCursor
	}
	at, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil {
		return cursor{}, errCursor
	}
	return cursor{listing: parts[0], position: position{at: at, id: parts[2]}}, nil
}

// listing is what was read of a queue's dead letters for a first page, so that
// the next pages need not read them all again.
type listing struct {
	id          string
	deadLetters []deadLetter // in order
	expiry      *time.Timer
}

// newListing orders dead letters.
func newListing(deadLetters []deadLetter) *listing {
	slices.SortFunc(deadLetters, func(a, b deadLetter) int { return a.position.compare(b.position) })
	return &listing{id: rand.Text(), deadLetters: deadLetters}
}

// cursor is where a page ended whose last dead letter is d.
func (l *listing) cursor(d deadLetter) string { return cursor{l.id, d.position}.String() }

// after are the dead letters behind a position.
func (l *listing) after(p position) []deadLetter {
	from := sort.Search(len(l.deadLetters), func(i int) bool { return l.deadLetters[i].position.compare(p) > 0 })
	return l.deadLetters[from:]
}

// listingExpiry is how long a listing waits for its next page. One that has gone
// is read anew, and the page begins after the position that the cursor names.
const listingExpiry = time.Minute

// listings are those that wait for their next page, one for each queue.
type listings struct {
	mu      sync.Mutex // guards following
	byQueue map[string]*listing
}

// find returns a queue's listing of that ID; nil if it has gone.
func (ls *listings) find(queue, id string) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.byQueue[queue]; l != nil && l.id == id {
		return l
	}
	return nil
}

// keep makes l the listing of a queue, until its expiry.
func (ls *listings) keep(queue string, l *listing) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if old := ls.byQueue[queue]; old != nil {
		old.expiry.Stop()
	}
	if ls.byQueue == nil {
		ls.byQueue = make(map[string]*listing)
	}
	ls.byQueue[queue] = l
	l.expiry = time.AfterFunc(listingExpiry, func() {
		ls.mu.Lock()
		defer ls.mu.Unlock()
		if ls.byQueue[queue] == l {
			delete(ls.byQueue, queue)
		}
	})
}

// drop forgets the listing of a queue.
func (ls *listings) drop(queue string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	if l := ls.byQueue[queue]; l != nil {
		l.expiry.Stop()
		delete(ls.byQueue, queue)
	}
}

// dropAll forgets the listings of all queues.
func (ls *listings) dropAll() {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.byQueue {
		l.expiry.Stop()
	}
	clear(ls.byQueue)
}
