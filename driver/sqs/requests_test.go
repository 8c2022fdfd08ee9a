package sqs

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	core "github.com/batch-go/batch"
)

// stamped is a job that knows when it was sent.
type stamped struct{ Sent time.Time }

// Kind names the job on the wire.
func (stamped) Kind() string { return "stamped" }

// load is what a worker with default settings is given, in virtual time, and what that
// costs.
type load struct {
	jobs, callers int
	// gap is how much time is between two jobs of a caller.
	gap     time.Duration
	gather  time.Duration
	sampled int           // how many jobs a poll brings at most, if not zero
	handler time.Duration // how long a job takes
	// queue is the worker's.
	queue core.WorkerQueue

	// requests are counted by action, until the last job is deleted. pickUps are how long
	// each job waited for its worker, shortest first.
	requests map[string]int
	pickUps  []time.Duration
}

// requestTime is how long a request takes.
const requestTime = 10 * time.Millisecond

// counted are the actions that a job costs.
var counted = []string{"SendMessageBatch", "ReceiveMessage", "DeleteMessageBatch", "ChangeMessageVisibilityBatch"}

// run runs the load on a fake server. Without jobs it lets a minute pass.
func (l *load) run(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		f.sampled = l.sampled
		d, err := New(t.Context(), f.client(), Options{Gather: l.gather})
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, d)
		f.intercept = func(string, *fakeRequest) (int, any, bool) {
			time.Sleep(requestTime)
			return 0, nil, false
		}
		l.queue.Name = "q"
		w := core.NewWorker(d, core.WorkerConfig{Log: slog.New(slog.DiscardHandler), Queues: []core.WorkerQueue{l.queue}})
		var mu sync.Mutex
		core.Handle(w, func(_ context.Context, job *core.Job[stamped]) error {
			took := time.Since(job.Args.Sent)
			time.Sleep(l.handler)
			mu.Lock()
			defer mu.Unlock()
			l.pickUps = append(l.pickUps, took)
			return nil
		})
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		q := core.NewQueue(d, "q")
		if err := q.Declare(t.Context()); err != nil {
			t.Fatal(err)
		}
		l.enqueue(t, q)
		if l.jobs == 0 {
			time.Sleep(time.Minute)
		}
		for f.size("q") > 0 {
			time.Sleep(requestTime)
		}
		l.requests = make(map[string]int)
		for _, action := range counted {
			l.requests[action] = f.count(action)
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		if len(l.pickUps) != l.jobs {
			t.Errorf("%d jobs ran, want %d", len(l.pickUps), l.jobs)
		}
		slices.Sort(l.pickUps)
	})
}

// enqueue sends the jobs.
func (l *load) enqueue(t *testing.T, q *core.Queue[*Driver]) {
	var callers sync.WaitGroup
	for range l.callers {
		callers.Go(func() {
			for range l.jobs / l.callers {
				next := time.Now().Add(l.gap)
				if _, err := q.Enqueue(t.Context(), stamped{time.Now()}); err != nil {
					t.Error(err)
				}
				time.Sleep(time.Until(next))
			}
		})
	}
	callers.Wait()
}

// perJob is how many requests of all actions there were for a job.
func (l *load) perJob() float64 {
	all := 0
	for _, n := range l.requests {
		all += n
	}
	return float64(all) / float64(l.jobs)
}

// slowest is how long jobs waited for their worker, but for the two in a hundred that waited
// longest: when the load begins nothing has found its rhythm.
func (l *load) slowest() time.Duration { return l.pickUps[len(l.pickUps)*98/100] }

// A job costs few requests, on a trickle as under full load, and no job waits longer for
// its worker than the request takes that brings it, unless the URL says so.
func TestRequests(t *testing.T) {
	const trickle, gather = 50 * time.Millisecond, 250 * time.Millisecond
	many := core.WorkerQueue{Concurrency: 100}
	for name, test := range map[string]struct {
		load
		perJob float64
		pickUp time.Duration
	}{
		// One to send, as the caller waits for it; one to receive, as the worker does; and
		// a fifth to delete.
		"trickle":              {load{jobs: 200, callers: 1, gap: trickle}, 2.25, requestTime},
		"trickle, slower jobs": {load{jobs: 100, callers: 1, gap: trickle, handler: 30 * time.Millisecond}, 2.3, requestTime},
		"trickle, many slots":  {load{jobs: 100, callers: 1, gap: trickle, queue: many}, 2.3, requestTime},
		"trickle, gathered":    {load{jobs: 200, callers: 1, gap: trickle, gather: gather}, 1.56, gather + 2*requestTime},
		"every second":         {load{jobs: 50, callers: 1, gap: time.Second}, 3.05, requestTime},
		// A worker with the default Concurrency has room for twenty jobs, fewer than come while
		// done ones are held: it is full now and then, when is up to the scheduler, and each time
		// its next poll begins later and asks for fewer.
		"a hundred a second":            {load{jobs: 200, callers: 1, gap: 10 * time.Millisecond, queue: many}, 2.35, requestTime},
		"a hundred a second, gathered":  {load{jobs: 400, callers: 1, gap: 10 * time.Millisecond, queue: many, gather: gather}, 1.4, gather + 2*requestTime},
		"a thousand a second":           {load{jobs: 2000, callers: 10, gap: 10 * time.Millisecond, queue: many}, 0.75, 5 * requestTime},
		"a thousand a second, gathered": {load{jobs: 2000, callers: 10, gap: 10 * time.Millisecond, queue: many, gather: gather}, 0.75, gather + 2*requestTime},
		// SQS's polls bring few where its servers have few each. There are more of them then,
		// as one after the other would bring less than comes.
		"trickle, polls that bring few":   {load{jobs: 200, callers: 1, gap: trickle, sampled: 2}, 2.25, requestTime},
		"gathered, polls that bring few":  {load{jobs: 200, callers: 1, gap: trickle, sampled: 2, gather: gather}, 2.1, 2 * gather},
		"full load, polls that bring few": {load{jobs: 1280, callers: 64, sampled: 3, queue: many}, 0.75, 30 * requestTime},
		// Ten jobs in each request of three kinds would be 0.3; seven are 0.43. Which jobs
		// end together is up to the scheduler.
		"full load":             {load{jobs: 1280, callers: 64}, 0.43, time.Hour},
		"full load, many slots": {load{jobs: 1280, callers: 64, queue: many}, 0.45, 5 * requestTime},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
			t.Logf("%s: %.3f requests a job: %v; pick-up %s, p98 %s", name, test.load.perJob(), test.requests, test.pickUps[test.jobs/2], test.slowest())
			if n := test.load.perJob(); n > test.perJob {
				t.Errorf("%.3f requests a job, want at most %.3f", n, test.perJob)
			}
			if d := test.slowest(); d > test.pickUp {
				t.Errorf("jobs waited %s for their worker, want at most %s", d, test.pickUp)
			}
		})
	}
}

// On an idle queue a worker polls one time after the other, as long as SQS lets it.
func TestRequestsWhenIdle(t *testing.T) {
	t.Parallel()
	var l load
	l.run(t)
	if n := l.requests["ReceiveMessage"]; n > int(time.Minute/defaultWait)+1 || len(l.requests) != len(counted) {
		t.Errorf("%d polls in a minute", n)
	}
	for _, action := range counted {
		if n := l.requests[action]; n > 0 && action != "ReceiveMessage" {
			t.Errorf("%d times %s", n, action)
		}
	}
}
