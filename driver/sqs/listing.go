package sqs

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
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

// newDeadLetter reads a message of the dead-letter queue, which takes messages of most
// bytes. One that is no dead letter, because somebody else put it there, is shown as
// unreadable.
func newDeadLetter(r *receipt, most int) deadLetter {
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
	switch {
	case r.err != nil && !errors.Is(r.err, errNoKind):
		d.Reason = driver.ReasonUnreadable
	case d.Reason == "" && r.hidesReason(most):
		d.Reason = driver.ReasonTooLarge
	case d.Reason == "":
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

// cursor is where a page ended: the position of its last dead letter, and the
// listing and the chunk that it is of.
type cursor struct {
	listing string
	// chunk is 0 if the listing is of one chunk: then a listing that has gone can be
	// read anew.
	chunk int
	position
}

// String is the cursor as callers have it.
func (c cursor) String() string { return fmt.Sprintf("%s/%d/%d/%s", c.listing, c.chunk, c.at, c.id) }

var (
	errCursor  = errors.New("the cursor is not one of this driver")
	errExpired = errors.New("what the cursor continues is not kept any more")
)

// parseCursor is the inverse of String. The cursor of the first page is empty.
func parseCursor(s string) (cursor, error) {
	if s == "" {
		return cursor{}, nil
	}
	parts := strings.SplitN(s, "/", 4)
	if len(parts) != 4 {
		return cursor{}, errCursor
	}
	chunk, err := strconv.Atoi(parts[1])
	if err != nil || chunk < 0 {
		return cursor{}, errCursor
	}
	at, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return cursor{}, errCursor
	}
	return cursor{listing: parts[0], chunk: chunk, position: position{at: at, id: parts[3]}}, nil
}

// How much of a queue's dead letters a page reads: those that it shows are the oldest
// of these, and the others wait for the next pages. What is behind a chunk can be
// read only past all that was read before, so that each chunk is twice as large as the
// one before it, up to the largest that a process should hold.
const (
	chunkLetters  = 1000
	chunkBytes    = 4 << 20
	chunkDoubling = 3 // how often
)

// listing is what was read of a queue's dead letters for a page, so that the next
// pages need not read them all again.
type listing struct {
	id, queue string
	// chunk counts those read, from 1. whole is set once there are no more.
	chunk       int
	whole       bool
	deadLetters []deadLetter // of the chunk, in order
	// before is where the chunk before this one ended, and seen are SQS's IDs of all
	// that are in a chunk.
	before position
	seen   map[string]bool
	// size is about how many bytes of memory it takes.
	size int
	// continued is set once a page after the first one was asked for, and expiry forgets
	// the listing; both belong to the listings.
	continued bool
	expiry    *time.Timer
}

// newListing is one that has no chunk yet.
func newListing(queue string) *listing { return &listing{id: rand.Text(), queue: queue} }

// full tells whether so many dead letters of so many bytes are enough for the next
// chunk.
func (l *listing) full(letters, bytes int) bool {
	doubled := min(l.chunk, chunkDoubling)
	return letters >= chunkLetters<<doubled || bytes >= chunkBytes<<doubled
}

// next is the listing after the next chunk was read. whole says that it is the last.
// seen has SQS's IDs of the chunk, which has so many bytes.
func (l *listing) next(chunk []deadLetter, bytes int, seen map[string]bool, whole bool) *listing {
	const perLetter, perID = 512, 128 // about
	slices.SortFunc(chunk, func(a, b deadLetter) int { return a.position.compare(b.position) })
	maps.Copy(seen, l.seen)
	return &listing{
		id: l.id, queue: l.queue, chunk: l.chunk + 1, whole: whole, deadLetters: chunk, before: l.last(), seen: seen,
		size: bytes + perLetter*len(chunk) + perID*len(seen),
	}
}

// last is where the chunk ends.
func (l *listing) last() position {
	if len(l.deadLetters) == 0 {
		return position{}
	}
	return l.deadLetters[len(l.deadLetters)-1].position
}

// cursor is where a page ended whose last dead letter is d.
func (l *listing) cursor(d deadLetter) string {
	chunk := l.chunk
	if chunk == 1 && l.whole {
		chunk = 0
	}
	return cursor{l.id, chunk, d.position}.String()
}

// after are the dead letters behind a position.
func (l *listing) after(p position) []deadLetter {
	from := sort.Search(len(l.deadLetters), func(i int) bool { return l.deadLetters[i].position.compare(p) > 0 })
	return l.deadLetters[from:]
}

// listingExpiry is how long a listing waits for its next page. One of a single chunk
// that has gone is read anew, and the page begins after the position that the cursor
// names.
const listingExpiry = 5 * time.Minute

// maxListed is how many bytes of listings wait for their next page, but for the last one:
// twice the largest chunk.
const maxListed = 2 * chunkBytes << chunkDoubling

// listings are those that wait for their next page, the one used longest ago first.
type listings struct {
	mu   sync.Mutex // guards following
	kept []*listing
	size int // of all
}

// find returns a queue's listing of that ID; nil if it has gone.
func (ls *listings) find(queue, id string) *listing {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	for _, l := range ls.kept {
		if l.id == id && l.queue == queue {
			l.continued = true
			return l
		}
	}
	return nil
}

// keep keeps l in place of what is there of the same listing, until its expiry or until
// others need the room: those go first of which nobody has asked for a second page.
func (ls *listings) keep(l *listing) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.remove(func(old *listing) bool {
		l.continued = l.continued || old.id == l.id && old.continued
		return old.id == l.id
	})
	ls.kept, ls.size = append(ls.kept, l), ls.size+l.size
	l.expiry = time.AfterFunc(listingExpiry, func() { ls.drop(func(old *listing) bool { return old == l }) })
	for ls.size > maxListed && len(ls.kept) > 1 {
		i := max(slices.IndexFunc(ls.kept[:len(ls.kept)-1], func(old *listing) bool { return !old.continued }), 0)
		out := ls.kept[i]
		ls.remove(func(old *listing) bool { return old == out })
	}
}

// drop forgets some listings.
func (ls *listings) drop(which func(*listing) bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	ls.remove(which)
}

// remove is drop with ls.mu held.
func (ls *listings) remove(which func(*listing) bool) {
	ls.kept = slices.DeleteFunc(ls.kept, func(l *listing) bool {
		if !which(l) {
			return false
		}
		l.expiry.Stop()
		ls.size -= l.size
		return true
	})
}
