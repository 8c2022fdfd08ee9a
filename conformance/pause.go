package conformance

import (
	"context"
	"errors"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var pauser = []string{"Pauser"}

var pauseCases = []Case{
	{Name: "pause", Rule: "When Pause has returned no job is handed out until Resume, to a Receive that waits or to a new one.", Needs: pauser, run: casePause},
	{Name: "pause-resume-wakes", Rule: "Resume hands jobs to waiting Receive calls at once.", Needs: pauser, timed: true, run: casePauseResumeWakes},
	{Name: "pause-elsewhere", Rule: "Pause and Resume by one handle hold for consumers of all others, and for those opened later.", Needs: pauser, leases: true, run: casePauseElsewhere},
	{Name: "pause-running", Rule: "What was handed out before a Pause is extended and settled as usual, and retries come after Resume.", Needs: pauser, leases: true, run: casePauseRunning},
	{Name: "pause-again", Rule: "Pausing a paused queue and resuming one that is not are no-ops; Paused tells which it is.", Needs: pauser, run: casePauseAgain},
	{Name: "pause-queues", Rule: "Pausing one queue does not pause another.", Needs: pauser, run: casePauseQueues},
	{Name: "pause-survives", Rule: "A queue stays paused when every handle was closed.", Needs: pauser, leases: true, run: casePauseSurvives},
	{Name: "pause-worker", Rule: "Workers start nothing that they did not have when Pause returned, and go on after Resume.", Needs: pauser, run: casePauseWorker},
}

// silence is how long a paused queue is watched.
const silence = 300 * time.Millisecond

// paused is a queue of a handle that was paused.
func (s *stage) paused(d driver.Driver) batch.Pauser {
	p := capable[batch.Pauser](s, d)
	s.check(p.Pause(s.ctx, s.queue), "pause")
	return p
}

// awaiting starts a Receive of one job and returns where its end will be.
func (s *stage) awaiting(c driver.Consumer) <-chan error {
	ended := make(chan error, 1)
	go func() {
		ctx, cancel := s.soon()
		defer cancel()
		got, err := c.Receive(ctx, 1)
		for _, d := range got {
			s.history.Add(Event{Op: Started, ID: d.ID, Deliveries: d.Deliveries, Worker: "a Receive that waited"})
			err = only(c.Settle(s.ctx, []driver.Settlement{{Delivery: d, Outcome: driver.OutcomeDone}}))
			s.history.Add(Event{Op: Done, ID: d.ID})
		}
		ended <- err
	}()
	return ended
}

// silent ends the case if a job is handed out while the queue is paused.
func (s *stage) silent() {
	before := s.history.Count(Started)
	s.pass(silence)
	if s.history.Count(Started) > before {
		s.failf("a job was handed out while the queue was paused")
	}
}

func casePause(s *stage) {
	d := s.declared()
	c := s.consume(s.open(), 1)
	s.put(d, message("before"))
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	ended := s.awaiting(c)
	s.pass(50 * time.Millisecond) // it may wait by now; if not, it is a new one
	p := s.paused(d)
	s.put(d, message("one"), message("two"))
	s.receiveNone(s.consume(d, 1), silence, "the queue is paused")
	s.silent()
	s.waitDepth(d, driver.Depth{Waiting: 2})
	s.check(p.Resume(s.ctx, s.queue), "resume")
	s.check(<-ended, "the Receive that waited during the pause")
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	s.waitDepth(d, driver.Depth{})
}

func casePauseResumeWakes(s *stage) {
	d := s.declared()
	p := s.paused(d)
	s.put(d, message("job"))
	ended := s.awaiting(s.consume(s.open(), 1))
	s.silent()
	begin := s.history.Now()
	s.check(p.Resume(s.ctx, s.queue), "resume")
	s.check(<-ended, "the Receive that waited during the pause")
	s.check(Within("the job after Resume", begin, s.history.Now(), 0, s.lateness()), "measure")
}

func casePauseElsewhere(s *stage) {
	d := s.declared()
	before := s.consume(s.open(), 1)
	p := s.paused(s.open())
	after := s.consume(s.open(), 1)
	s.put(d, message("one"), message("two"))
	s.receiveNone(before, silence, "another handle paused the queue")
	s.receiveNone(after, silence, "another handle paused the queue before")
	on, err := capable[batch.Pauser](s, d).Paused(s.ctx, s.queue)
	s.check(err, "ask whether the queue is paused")
	equal(s, on, true, "Paused on another handle")
	s.check(p.Resume(s.ctx, s.queue), "resume")
	s.settle(before, s.receiveBy(s.lease()+s.overdue(), before, 1)[0], driver.OutcomeDone)
	s.settle(after, s.receiveBy(s.lease()+s.overdue(), after, 1)[0], driver.OutcomeDone)
}

func casePauseRunning(s *stage) {
	d := s.declared()
	s.put(d, messages(3)...)
	c := s.consume(d, 3)
	held := s.receive(c, 3)
	p := s.paused(s.open())
	s.check(errors.Join(c.Extend(s.ctx, held[:min(3, s.info.Limits.ExtendBatch)])...), "extend while the queue is paused")
	s.settle(c, held[0], driver.OutcomeDone)
	s.settleRetry(c, held[1], 10*time.Millisecond)
	s.settle(c, held[2], driver.OutcomeRelease)
	s.receiveNone(c, silence, "the queue is paused")
	s.check(p.Resume(s.ctx, s.queue), "resume")
	for _, got := range s.receiveBy(s.lease()+s.overdue(), c, 2) {
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func casePauseAgain(s *stage) {
	d := s.declared()
	p := capable[batch.Pauser](s, d)
	tell := func(want bool) {
		on, err := p.Paused(s.ctx, s.queue)
		s.check(err, "ask whether the queue is paused")
		equal(s, on, want, "Paused")
	}
	tell(false)
	s.check(p.Resume(s.ctx, s.queue), "resume a queue that is not paused")
	for range 2 {
		s.check(p.Pause(s.ctx, s.queue), "pause")
		tell(true)
	}
	for range 2 {
		s.check(p.Resume(s.ctx, s.queue), "resume")
		tell(false)
	}
	s.put(d, message("job"))
	c := s.consume(d, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
}

func casePauseQueues(s *stage) {
	d := s.declared()
	other := s.newQueue()
	s.check(d.Declare(s.ctx, other), "declare")
	s.paused(d)
	s.putOn(d, other, message("job"))
	c := s.consumeFrom(d, other, 1)
	s.settle(c, s.receiveOne(c), driver.OutcomeDone)
	on, err := capable[batch.Pauser](s, d).Paused(s.ctx, other)
	s.check(err, "ask whether the queue is paused")
	equal(s, on, false, "Paused of another queue")
}

func casePauseSurvives(s *stage) {
	d := s.declared()
	s.put(d, message("job"))
	s.paused(d)
	s.check(d.Close(s.ctx), "close the handle")
	d = s.declared() // declaring again does not resume it
	c := s.consume(d, 1)
	s.receiveNone(c, silence, "the queue was paused by a handle that is closed")
	s.check(capable[batch.Pauser](s, d).Resume(s.ctx, s.queue), "resume")
	s.settle(c, s.receiveBy(s.lease()+s.overdue(), c, 1)[0], driver.OutcomeDone)
}

func casePauseWorker(s *stage) {
	const jobs = 200
	q := queueOf[batch.Pauser](s, s.open())
	for range 2 {
		s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
			select {
			case <-time.After(2 * time.Millisecond):
			case <-ctx.Done():
			}
			return nil
		}, concurrency(2, 2))
	}
	for n := range jobs / 2 {
		enqueue(s, q, n)
	}
	s.waitCount(10, Done)
	s.check(batch.Pause(s.ctx, q), "pause")
	started := s.history.Count(Started)
	for n := jobs / 2; n < jobs; n++ {
		enqueue(s, q, n)
	}
	s.pass(silence)
	// Each of two workers may hold four, and have received them before.
	if more := s.history.Count(Started) - started; more > 2*4 {
		s.failf("%d jobs were started after Pause returned, but the workers held at most 8", more)
	}
	s.check(batch.Resume(s.ctx, q), "resume")
	s.waitCount(jobs, Done)
	s.check(ExactCover(s.history.Events(), names(jobs)), "judge the history")
}
