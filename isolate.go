package batch

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// crew does a worker's work: one shift after the other, and between two of them it
// runs the suspect that ended the first, with no other job in the worker. So a job
// that kills its worker is lost alone, and only its own redeliveries grow.
type crew struct {
	laneConfig

	// done is closed when the work has ended, as the worker stops.
	done chan struct{}
	// err says which consumers could not be closed in time. It is written before done
	// is closed.
	err error
}

// newCrew makes a crew that has not begun.
func newCrew(config laneConfig) *crew {
	return &crew{laneConfig: config, done: make(chan struct{})}
}

// begin opens the first shift. While the broker cannot be reached it tries again
// until ctx ends, and reports every failed try.
func (c *crew) begin(ctx context.Context) (*shift, error) {
	s := newShift(c.laneConfig)
	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	var first sync.Once
	var failure error
	openEach(c.worker.Queues, func(q WorkerQueue) bool {
		last, err := c.openPatiently(opening, s, q)
		if err != nil {
			first.Do(func() {
				failure = err
				if ctx.Err() != nil {
					failure = fmt.Errorf("batch: start: %w", because(context.Cause(ctx), last))
				}
				cancel() // the others wait for nothing
			})
		}
		return err == nil
	})
	if failure != nil {
		return nil, errors.Join(failure, c.close(s))
	}
	return s, nil
}

// openPatiently opens the lane of a queue. While the broker cannot be reached it tries again
// until ctx ends; last is the error of the last try that was reported.
func (c *crew) openPatiently(ctx context.Context, s *shift, q WorkerQueue) (last, err error) {
	var b backoff
	for {
		_, op, err := s.open(ctx, q)
		if err == nil || ctx.Err() != nil || !errors.Is(err, ErrUnavailable) {
			return last, err
		}
		last = err
		d := b.next()
		c.hooks.onFault(ctx, Fault{Queue: q.Name, Op: op, Err: err, RetryIn: d})
		if !sleep(ctx, d) {
			return last, err
		}
	}
}

// close closes a shift whose lanes hold no jobs any more, or cannot settle them.
func (c *crew) close(s *shift) error {
	ctx, cancel := context.WithTimeout(c.phases.closing, lastReserve)
	defer cancel()
	s.stop()
	return s.close(ctx)
}

// run works until the worker stops. The lanes of the first shift are open.
func (c *crew) run(s *shift) {
	defer close(c.done)
	for _, l := range s.lanes {
		l.start(s.fetching)
	}
	var b backoff
	for {
		<-s.fetching.Done()
		isolated := s.isolate()
		err := c.close(s)
		if c.phases.fetching.Err() != nil {
			c.err = err
			return
		}
		if err != nil {
			c.hooks.onFault(c.phases.working, Fault{Op: OpClose, Err: err})
		}
		if isolated {
			b = backoff{}
			c.search(s.met)
		} else {
			b.wait(c.phases.fetching) // otherwise the next shift would meet the suspect at once
		}
		s = c.next()
	}
}

// searchTime is how long the worker waits for another suspect of a queue. What it gave
// back is available at once, so this is some round trips.
const searchTime = time.Second

// search looks for more suspects in queues where there were some, and runs each alone.
// Mostly a worker that was killed has held several. If a whole shift began between one
// and the next, the next would have to wait until the jobs of that shift have ended.
func (c *crew) search(queues []WorkerQueue) {
	for _, q := range queues {
		for c.another(q) {
		}
	}
}

// another receives one job of a queue, and runs it alone if it is a suspect. Otherwise
// it gives the job back and returns false.
func (c *crew) another(q WorkerQueue) bool {
	q.Concurrency, q.Prefetch, q.MaxPrefetch = 1, 0, 0
	s := newShift(c.laneConfig)
	defer s.stop()
	ctx, cancel := context.WithTimeout(s.fetching, searchTime)
	defer cancel()
	l, op, err := s.open(ctx, q)
	if err != nil {
		if ctx.Err() == nil && !errors.Is(err, ErrClosed) {
			c.hooks.onFault(ctx, Fault{Queue: q.Name, Op: op, Err: err})
		}
		return false
	}
	l.keeper.start()
	l.fetcher.one(ctx)
	isolated := s.isolate()
	if err := c.close(s); err != nil {
		c.hooks.onFault(c.phases.working, Fault{Queue: q.Name, Op: OpClose, Err: err})
	}
	return isolated
}

// next opens a shift after an isolation, and starts each lane as soon as it is open.
// The worker goes on whatever the broker says, until its driver is closed.
func (c *crew) next() *shift {
	s := newShift(c.laneConfig)
	left := c.worker.Queues
	var b backoff
	for {
		var mu sync.Mutex
		var failed []WorkerQueue
		d := b.next()
		openEach(left, func(q WorkerQueue) bool {
			l, op, err := s.open(s.fetching, q)
			switch {
			case err == nil:
				l.start(s.fetching)
			case s.fetching.Err() != nil:
				return false
			case errors.Is(err, ErrClosed):
				c.fail(err)
				return false
			default:
				mu.Lock()
				failed = append(failed, q)
				mu.Unlock()
				c.hooks.onFault(s.fetching, Fault{Queue: q.Name, Op: op, Err: err, RetryIn: d})
			}
			return true
		})
		left = failed
		if len(left) == 0 || !sleep(s.fetching, d) {
			return s
		}
	}
}
