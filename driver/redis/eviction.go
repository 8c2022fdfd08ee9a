package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
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
	allowed bool
	every   time.Duration

	start time.Time     // from which next counts
	next  atomic.Int64  // when to ask again, in ns since start
	found atomic.Value  // of evicting: what the last look found
	looks atomic.Uint64 // that have ended
}

// evicting says why a server loses what it stored. It is nil if it does not.
type evicting struct{ error }

// newEviction makes one that has just looked and found nothing.
func newEviction(allowed bool) *eviction {
	e := &eviction{allowed: allowed, every: evictionEvery, start: time.Now()}
	e.next.Store(int64(e.every))
	return e
}

// evicts is an error if the server may evict what the driver keeps in it.
func (s server) evicts() error {
	switch {
	case !s.maxMemory || s.eviction == "noeviction" || s.eviction == "":
		return nil
	case strings.HasPrefix(s.eviction, "volatile-"):
		return fmt.Errorf("the server has maxmemory-policy %s, which forgets unique keys when memory runs out, so that their jobs are stored twice", s.eviction)
	default:
		return fmt.Errorf("the server has maxmemory-policy %s, which drops jobs when memory runs out", s.eviction)
	}
}

// evictionHint is what to do about that.
const evictionHint = "set maxmemory-policy noeviction, or pass eviction=allow"

// refuseEviction is an error if the server has begun to evict keys since the driver was
// opened. It asks in the background if it is time to.
func (d *Driver) refuseEviction(op, queue string) error {
	e := d.eviction
	if e.allowed {
		return nil
	}
	now := int64(time.Since(e.start))
	if next := e.next.Load(); now >= next && e.next.CompareAndSwap(next, now+int64(e.every)) {
		d.lookForEviction()
	}
	if found, _ := e.found.Load().(evicting); found.error != nil {
		return faults.Refuse(op, queue, driver.ErrUnsupported, found.error, evictionHint)
	}
	return nil
}

// lookForEviction asks every primary on a goroutine, for which Close waits. A server that
// does not answer is not known to have changed.
func (d *Driver) lookForEviction() {
	if d.conn.life.Begin(context.Background()) != nil {
		return
	}
	go func() {
		defer d.conn.life.End()
		servers, err := ask(d.conn.ctx, d.conn.client)
		if err != nil {
			return
		}
		var all []error
		for _, s := range servers {
			all = append(all, s.evicts())
		}
		found := evicting{errors.Join(all...)}
		if found.error != nil {
			d.eviction.next.Store(int64(time.Since(d.eviction.start) + min(evictionSoon, d.eviction.every)))
		}
		d.eviction.found.Store(found)
		d.eviction.looks.Add(1)
	}()
}
