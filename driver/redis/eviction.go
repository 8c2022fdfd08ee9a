package redis

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

const (
	// evictionEvery is how often a driver that stores jobs asks whether its server has
	// begun to evict keys, and evictionSoon how often when it has.
	evictionEvery = 30 * time.Second
	evictionSoon  = time.Second
)

// eviction looks after the server's maxmemory-policy, which anybody may change while the
// server runs. It costs one INFO beside the calls that store jobs, now and then, and
// delays none.
type eviction struct {
	conn    *connection
	allowed bool
	every   time.Duration

	start   time.Time     // from which next counts
	next    atomic.Int64  // when to ask again, in ns since start
	looking atomic.Bool   // one look at a time, or an older one could be believed after a newer
	found   atomic.Value  // of evicting: what the last look found
	looks   atomic.Uint64 // that have ended
}

// evicting says why a server loses what it stored. It is nil if it does not.
type evicting struct{ error }

// newEviction makes one that has just looked and found nothing.
func newEviction(conn *connection, allowed bool) *eviction {
	e := &eviction{conn: conn, allowed: allowed, every: evictionEvery, start: time.Now()}
	e.next.Store(int64(e.every))
	return e
}

// refuse is an error if the server has begun to evict keys since the driver was opened. It
// asks in the background if it is time to.
func (e *eviction) refuse(op, queue string) error {
	if e.allowed {
		return nil
	}
	now := int64(time.Since(e.start))
	if next := e.next.Load(); now >= next && e.next.CompareAndSwap(next, now+int64(e.every)) {
		e.look()
	}
	if found, _ := e.found.Load().(evicting); found.error != nil {
		return faults.Refuse(op, queue, driver.ErrUnsupported, found.error, evictionHint)
	}
	return nil
}

// look asks every primary on a goroutine, for which Close waits. A server that
// does not answer is not known to have changed.
func (e *eviction) look() {
	if e.looking.Swap(true) {
		return
	}
	if e.conn.life.Begin(context.Background()) != nil {
		e.looking.Store(false)
		return
	}
	go func() {
		defer e.conn.life.End()
		defer e.looking.Store(false)
		servers, err := ask(e.conn.ctx, e.conn.client)
		if err != nil {
			return
		}
		var all []error
		for _, s := range servers {
			all = append(all, s.evicts())
		}
		found := evicting{errors.Join(all...)}
		if found.error != nil {
			e.next.Store(int64(time.Since(e.start) + min(evictionSoon, e.every)))
		}
		e.found.Store(found)
		e.looks.Add(1)
	}()
}
