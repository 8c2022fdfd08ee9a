package redis

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch/driver"
)

// consumer receives from one queue. Beside the calls on it, up to three
// goroutines work for it until Close: the one of schedule.go, the one of
// recover.go, and while a Receive waits that of wake.go.
type consumer struct {
	d     *Driver
	queue string
	k     *keys
	name  string
	lease time.Duration

	wake  waker
	plans chan plan
	last  atomic.Pointer[plan]
	// perJob is how many bytes a job took in the last replies, 0 at first.
	perJob atomic.Int64
	// bulk is the index of the stream that filled the last fetch, else 0.
	bulk atomic.Int32

	done chan struct{} // closed when Close begins

	mu     sync.Mutex // guards following
	closed bool
	wg     sync.WaitGroup // its goroutines; Add only while not closed
	gone   chan struct{}  // closed when Close has ended
}

// Consume opens a consumer. Nothing is sent: Redis makes a group's consumer
// when it first reads.
func (d *Driver) Consume(ctx context.Context, queue string, options driver.ConsumeOptions) (driver.Consumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, fail("consume", queue, notSent{err})
	}
	if options.Lease < minLease || options.Lease > maxLease {
		return nil, &driver.Error{Driver: Name, Op: "consume", Queue: queue, Kind: driver.ErrConfig, Fate: driver.FateNotStored,
			Err: fmt.Errorf("a lease of %s is not between %s and %s", options.Lease, minLease, maxLease)}
	}
	c := &consumer{
		d: d, queue: queue, k: d.keys(queue),
		lease: time.Duration(ceilMS(options.Lease)) * time.Millisecond,
		plans: make(chan plan, 1),
		done:  make(chan struct{}),
		gone:  make(chan struct{}),
	}
	c.name = consumerName(c.lease)
	c.wake.c = c

	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.finished != nil {
		return nil, closed("consume", queue)
	}
	d.consumers[c] = struct{}{}
	c.spawn(c.schedule)
	c.spawn(c.recover)
	return c, nil
}

// consumerName names a consumer for people, and tells recovery its lease.
func consumerName(lease time.Duration) string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "unknown"
	}
	host = strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '_'
		}
		return r
	}, host)
	var unique [6]byte
	_, _ = rand.Read(unique[:]) // never fails, since Go 1.24
	return fmt.Sprintf("%s-%d-%s:%d", host, os.Getpid(), hex.EncodeToString(unique[:]), lease.Milliseconds())
}

// Lease is the one that the consumer was opened with, in whole ms.
func (c *consumer) Lease() time.Duration { return c.lease }

// spawn runs f as one of the consumer's goroutines; false after Close.
func (c *consumer) spawn(f func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.wg.Go(f)
	return true
}

// isClosed tells whether Close began.
func (c *consumer) isClosed() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// Close ends the consumer, see driver.Consumer. A BLPOP that waits is ended by
// a push to a list of its own: that works through proxies, in a cluster and
// without the permission for CLIENT, and does not cut a connection.
func (c *consumer) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		select {
		case <-c.gone:
		case <-ctx.Done():
		}
		return nil
	}
	c.closed = true
	close(c.done)
	c.mu.Unlock()
	defer func() {
		c.d.mu.Lock()
		delete(c.d.consumers, c)
		c.d.mu.Unlock()
		close(c.gone)
	}()

	err := c.wake.poke(ctx)
	idle := make(chan struct{})
	go func() {
		c.wg.Wait()
		close(idle)
	}()
	select {
	case <-idle:
	case <-ctx.Done():
		return fail("close consumer", c.queue, ctx.Err())
	}
	if err == nil {
		poke := c.k.poke(c.name)
		_, err = c.d.eval(ctx, leaveScript, append(leaveScript.args(c.k, 1, poke), c.name))
	}
	return fail("close consumer", c.queue, err)
}
