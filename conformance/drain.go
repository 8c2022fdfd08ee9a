package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var drainCases = []Case{
	{Name: "drain", Rule: "A worker that is stopped finishes what runs, gives back what it only held, and spends no attempt on it.", run: caseDrain},
	{Name: "drain-queues", Rule: "A worker of several queues that is stopped gives back what it only held of each at once, and a second Stop waits for the first.", run: caseDrainQueues},
	{Name: "drain-deadline", Rule: "When a stop has no time left, running jobs are cancelled with ErrShutdown and given back at once without spending an attempt.", timed: true, run: caseDrainDeadline},
	{Name: "drain-ignored", Rule: "Jobs of handlers that ignore the cancellation are given back too, after CancelTimeout, and Stop returns.", timed: true, run: caseDrainIgnored},
	{Name: "drain-idle", Rule: "A worker that waits for jobs stops promptly, and a job that comes then is not lost.", leases: true, run: caseDrainIdle},
}

func caseDrain(s *stage) {
	const jobs, prefetch = 5, 3
	q := s.portable()
	gate := s.gate()
	first := s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error { return gate.wait(ctx) }, concurrency(1, prefetch))
	for n := range jobs {
		enqueue(s, q, n)
	}
	s.waitCount(1, Started)
	s.pass(100 * time.Millisecond) // in which it may prefetch
	stopped := make(chan error, 1)
	go func() { stopped <- first.Stop(s.ctx) }()
	// What it held goes to another worker while its one job still runs.
	s.work(s.open(), nothing)
	s.waitCount(jobs-1, Done)
	gate.open()
	s.check(<-stopped, "stop the worker whose job ended in time")
	s.waitCount(jobs, Done)
	events := s.history.Events()
	s.check(ExactCover(events, names(jobs)), "judge the history")
	s.check(AttemptCounts(events), "judge the history")
	s.waitDepth(q.Driver(), driver.Depth{})
}

func caseDrainQueues(s *stage) {
	const held = 3
	d := s.declared()
	queues := []string{s.queue, s.newQueue()}
	gate := s.gate()
	for i, queue := range queues {
		s.check(d.Declare(s.ctx, queue), "declare")
		for n := range 1 + held {
			s.putOn(d, queue, message(name(10*i+n)))
		}
	}
	w := s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
		<-gate.done
		return nil
	}, concurrency(1, held), func(c *batch.WorkerConfig) {
		c.Queues = append(c.Queues, c.Queues[0])
		c.Queues[1].Name = queues[1]
	})
	s.waitCount(len(queues), Started)
	s.pass(100 * time.Millisecond) // in which it may prefetch
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- w.Stop(s.ctx) }()
	// What it held goes to others while its jobs still run.
	for _, queue := range queues {
		c := s.consumeFrom(d, queue, held)
		for _, got := range s.receive(c, held) {
			equal(s, got.Failures+got.Redeliveries, 0, "Failures and Redeliveries of what a worker of two queues gave back")
			s.settle(c, got, driver.OutcomeDone)
		}
	}
	go func() { second <- w.Stop(s.ctx) }()
	s.pass(50 * time.Millisecond)
	for n, stopped := range []chan error{first, second} {
		select {
		case err := <-stopped:
			s.failf("Stop number %d returned while jobs run: %v", n+1, err)
		default:
		}
	}
	gate.open()
	s.check(<-first, "stop")
	s.check(<-second, "stop again")
	equal(s, closed(w.Stopped()), true, "whether Stopped is closed after Stop")
	for _, queue := range queues {
		s.queue = queue
		s.waitDepth(d, driver.Depth{})
	}
}

func caseDrainDeadline(s *stage) {
	q := s.portable()
	d := s.open()
	first := s.work(d, func(ctx context.Context, _ *batch.Job[task]) error {
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, batch.ErrShutdown) {
			s.problem("the cause of the cancellation is %v", cause)
		}
		return ctx.Err()
	}, concurrency(1, 1))
	enqueue(s, q, 0)
	enqueue(s, q, 1)
	s.waitCount(1, Started)
	s.check(first.Stop(hurried(s.ctx)), "stop the worker whose job was cancelled and given back")
	s.returnedTo(q, 2)
}

// hurried makes the context of a stop that cancels running jobs at once.
func hurried(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

// returnedTo runs what a worker gave back when it was stopped: at once, and as
// attempt 1.
func (s *stage) returnedTo(q *portable, jobs int) {
	equal(s, s.history.Count(Done), 0, "jobs done by the worker that gave all back")
	given := s.history.Now()
	s.work(s.open(), nothing, concurrency(jobs, batch.NoPrefetch))
	s.waitCount(jobs, Done)
	s.check(Within("the jobs that were given back", given, s.history.Now(), 0, s.lateness()), "measure")
	events := s.history.Events()
	s.check(AttemptCounts(events), "judge the history")
	for _, e := range events {
		if e.Op == Done {
			equal(s, e.Attempt, 1, "Attempt of %s, which was given back", e.ID)
		}
	}
	s.waitDepth(q.Driver(), driver.Depth{})
}

func caseDrainIgnored(s *stage) {
	q := s.portable()
	gate := s.gate()
	first := s.work(s.open(), func(context.Context, *batch.Job[task]) error {
		<-gate.done // whatever its context says
		return nil
	}, func(c *batch.WorkerConfig) { c.CancelTimeout = 50 * time.Millisecond })
	enqueue(s, q, 0)
	s.waitCount(1, Started)
	begin := s.history.Now()
	s.check(first.Stop(hurried(s.ctx)), "stop the worker whose job was given back without its handler")
	s.check(Within("the end of Stop", begin, s.history.Now(), 0, 50*time.Millisecond+s.lateness()), "measure")
	s.returnedTo(q, 1)
}

func caseDrainIdle(s *stage) {
	q := s.portable()
	w := s.work(s.open(), nothing, concurrency(2, 2))
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	begin := s.history.Now()
	stopped := make(chan error, 1)
	go func() { stopped <- w.Stop(s.ctx) }()
	enqueue(s, q, 1)
	s.check(<-stopped, "stop an idle worker")
	s.check(Within("the end of Stop", begin, s.history.Now(), 0, s.patience()/3), "measure")
	s.work(s.open(), nothing)
	s.waitBy(s.lease()+s.overdue(), "the job that came while the worker stopped", func() bool { return s.history.Count(Done) >= 2 })
	events := s.history.Events()
	s.check(AttemptCounts(events), "judge the history")
	for _, e := range events {
		if e.Op == Done && e.Attempt != 1 {
			s.failf("%s ran as attempt %d", e.ID, e.Attempt)
		}
	}
}
