package conformance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

// process stands for one: a handle with a network of its own, and a worker or a producer on
// it. What a broker sees of a process that is killed is that its connections end after some
// call, and of one that is stopped, that they are silent until it goes on. A network does
// both, and at every call, one after the other, which a signal to a real process cannot. A
// real one would also have to make the harness anew: Open is a function that knows brokers
// which only this process has started.
type process struct {
	*stage
	name  string
	p     *proxy.Proxy
	d     driver.Driver
	w     *batch.Worker // nil for a producer
	dead  atomic.Bool
	queue *portable
}

// process makes one.
func (s *stage) process(name string) *process {
	x := &process{stage: s, name: name, p: s.network()}
	x.d = s.through(x.p)
	x.queue = queueOf[driver.Driver](s, x.d)
	return x
}

// works starts a worker in the process, as stage.work does.
func (x *process) works(handle handler, adjust ...func(*batch.WorkerConfig)) {
	x.check(x.tries(handle, adjust...), "start a worker")
}

// tries is works for a process that may die before its worker has started.
func (x *process) tries(handle handler, adjust ...func(*batch.WorkerConfig)) error {
	x.w = x.worker(x.d, append(adjust, func(c *batch.WorkerConfig) {
		c.Hooks = []batch.Hook{&watcher{history: x.history, name: x.name, dead: &x.dead}}
	})...)
	x.check(batch.TryHandle(x.w, handle), "add the handler")
	x.after(func(ctx context.Context) error {
		err := mend(x.p)
		ctx, cancel := context.WithTimeout(ctx, x.cleanupTime()/4)
		defer cancel()
		x.w.Stop(ctx)
		if ctx.Err() != nil {
			err = errors.Join(err, errors.New("a worker whose network was mended takes long to stop"))
		}
		return err
	})
	return x.w.Start(x.ctx)
}

// disturb begins a fault of the process.
func (x *process) disturb(what string, how func(*proxy.Proxy)) {
	x.history.Add(Event{Op: Disturbed, Worker: x.name, Note: what})
	how(x.p)
}

// mend ends it.
func (x *process) mend() {
	if err := mend(x.p); err != nil {
		x.problem("mend the network of %s: %v", x.name, err)
	}
	x.history.Add(Event{Op: Mended, Worker: x.name})
}

// burialTime is what a worker gets to stop whose process is dead: nothing that it does then
// has any effect.
const burialTime = 300 * time.Millisecond

// bury makes the process dead: nothing that it does from now on is recorded, and what
// runs of it here ends. Its network goes first, as it may not have been cut: else a job
// that it ends now would be gone from the broker without a record.
func (x *process) bury() {
	_ = x.p.Refuse()
	x.p.Reset()
	x.dead.Store(true)
	x.history.Add(Event{Op: Disturbed, Worker: x.name, Note: "it is dead"})
	ctx, cancel := context.WithTimeout(x.ctx, burialTime)
	defer cancel()
	if x.w != nil {
		x.w.Stop(ctx)
	}
	_ = x.d.Close(ctx)
}

// enqueueWithin is the time that enqueues have whose network is disturbed.
const enqueueWithin = time.Second

// enqueueTold enqueues jobs, in one call if there are several, and records of each what it
// was told. It may be called from any goroutine.
func (x *process) enqueueTold(from, n int) {
	ctx, cancel := context.WithTimeout(x.ctx, enqueueWithin)
	defer cancel()
	requests := make([]batch.Request[driver.Driver], n)
	for i := range requests {
		x.history.Add(Event{Op: Enqueueing, ID: name(from + i), Worker: x.name})
		requests[i] = batch.Request[driver.Driver]{Args: task{N: from + i}, Options: []batch.Option[driver.Driver]{batch.ID(x.queue, name(from+i))}}
	}
	if n == 1 {
		receipt, err := x.queue.Enqueue(ctx, requests[0].Args, requests[0].Options...)
		x.told(name(from), receipt.Duplicate, err)
		return
	}
	results, _ := x.queue.EnqueueMany(ctx, requests)
	if len(results) != n {
		x.problem("EnqueueMany of %d jobs returned %d results", n, len(results))
		return
	}
	for i, r := range results {
		x.told(name(from+i), r.Duplicate, r.Err)
	}
}

// told records what was said of a job.
func (x *process) told(id string, duplicate bool, err error) {
	if err == nil && duplicate {
		x.problem("the enqueue of %s was reported as a duplicate", id)
		return
	}
	x.toldOf(Event{ID: id, Worker: x.name}, err)
}

// toldOf records what was said of the job of e, which is no duplicate.
func (x *process) toldOf(e Event, err error) {
	var failed *batch.EnqueueError
	switch {
	case err == nil:
		e.Op = Enqueued
	case !errors.As(err, &failed):
		x.problem("the enqueue of %s: the error is no *EnqueueError: %v", e.ID, err)
		return
	case failed.Fate == batch.FateNotStored:
		e.Op, e.Note = Refused, err.Error()
	default:
		e.Op, e.Note = Doubtful, err.Error()
	}
	x.history.Add(e)
}

// waitOver waits until every job that was confirmed is done or dead, which should be after d,
// and names those that are not.
func (s *stage) waitOver(d time.Duration, what string) {
	ctx, cancel := s.by(d)
	defer cancel()
	over := func() bool { return Kept(s.history.Events()) == nil }
	if err := s.history.Wait(ctx, over); err != nil {
		s.failf("waiting for %s: %v: %v", what, err, Kept(s.history.Events()))
	}
}

// finished waits until every job that was confirmed is over and none is left, and
// judges the history. It must not take longer than a time, and what it takes to notice that
// a connection is dead on which the broker has just sent a job.
func (s *stage) finished(after time.Duration, want driver.Depth) {
	begin := s.history.Now()
	s.waitOver(after+s.noticed(), "the confirmed jobs to be over")
	s.check(Within("the last of the confirmed jobs", begin, s.history.Now(), 0, after+s.noticed()+s.lateness()), "measure")
	s.waitDepthBy(after, s.open(), want) // what may be stored, too
	s.check(Judge(s.history.Events(), s.grace()), "judge the history")
}

// grace is how long after a fault what it did may show.
func (s *stage) grace() time.Duration { return s.lease() + s.overdue() + s.lateness() }
