package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var settlingCases = []Case{
	{Name: "restart-settling", Rule: "When the broker crashes while retries and dead letters are being settled, each is stored before its job is removed: none is lost.", Needs: restarting, leases: true, run: caseRestartSettling},
	{Name: "freeze-one", Rule: "When one of several servers does not answer, waiting workers get jobs from the others within seconds, and no confirmed job is lost.", Needs: []string{needsOne}, leases: true, run: caseFreezeOne},
}

func caseRestartSettling(s *stage) {
	const jobs = 200
	crashes := 1
	if soak() {
		crashes = 5
	}
	d := s.declared()
	s.put(d, tasks(jobs)...)
	dies := func(n int) bool { return n%4 == 0 }
	handle := func(ctx context.Context, j *job) error {
		switch {
		case dies(j.Args.N):
			return batch.Permanent(errors.New("for good"))
		case j.Args.N%4 == 1 && j.Attempt == 1:
			return errors.New("once")
		}
		return busy(ctx, 2*time.Millisecond)
	}
	first := s.work(s.open(), handle, patient)
	for crash := range crashes {
		s.waitCount((crash+1)*jobs/(crashes+2), Done, Died, Failed)
		s.history.Add(Event{Op: Disturbed, Note: "the broker crashes"})
		s.check(s.harness.Restart(s.ctx), "restart the broker")
		s.history.Add(Event{Op: Mended})
		s.work(s.reopen(), handle, patient) // where the crash took the handles with it
	}
	s.waitOver(2*s.grace(), "all jobs to be done or dead")
	var want []string
	for n := range jobs {
		if dies(n) {
			want = append(want, name(n))
		}
	}
	slices.Sort(want)
	d = s.reopen()
	s.eventuallyBy(2*s.grace(), "look for the dead letters", func() error {
		return sameLetters(s.deadLetters(d, 100), want)
	})
	s.check(Judge(s.history.Events(), s.grace()), "judge the history")
	ctx, cancel := context.WithTimeout(s.ctx, time.Second) // not for what it cannot settle any more
	defer cancel()
	first.Stop(ctx)
}

// sameLetters is nil if the dead letters are those with these IDs, in order. One may be
// there twice, because the broker crashed after it was stored and before its job was
// removed.
func sameLetters(letters []driver.DeadLetter, ids []string) error {
	var got []string
	for _, l := range letters {
		got = append(got, l.ID)
	}
	slices.Sort(got)
	got = slices.Compact(got)
	if !slices.Equal(got, ids) {
		return fmt.Errorf("%d dead letters, want %d: %v", len(got), len(ids), missingOf(ids, got))
	}
	return nil
}

// missingOf are the first of the IDs that are not among others.
func missingOf(ids, others []string) []string {
	var missing []string
	for _, id := range ids {
		if !slices.Contains(others, id) && len(missing) < 5 {
			missing = append(missing, id)
		}
	}
	return missing
}

func caseFreezeOne(s *stage) {
	const queues, round = 6, 1000
	producers := s.producers(queues) // so that the server that is frozen matters to some
	s.work(s.open(), nothing, patient, func(c *batch.WorkerConfig) {
		for _, queue := range s.queues[1:] {
			own := c.Queues[0]
			own.Name = queue
			c.Queues = append(c.Queues, own)
		}
	})
	for i, x := range producers {
		enqueue(s, x.queue, i*round)
	}
	s.waitCount(queues, Done)
	s.pass(300 * time.Millisecond) // until the worker waits again
	index := s.random.IntN(s.harness.Servers)
	s.history.Add(Event{Op: Disturbed, Note: fmt.Sprintf("server %d freezes", index)})
	thaw, err := s.harness.FreezeOne(s.ctx, index)
	s.check(err, "freeze server %d", index)
	thaw = sync.OnceFunc(thaw)
	defer thaw()
	s.after(func(context.Context) error { thaw(); return nil })
	ctx, cancel := s.by(s.noticed())
	defer cancel()
	var all sync.WaitGroup
	for i, x := range producers {
		all.Go(func() {
			n := i*round + 1
			err := until(ctx, func() error {
				x.enqueueTold(n, 1)
				n++
				if last := s.history.Of(name(n - 1)); len(last) < 2 || last[1].Op != Enqueued {
					return fmt.Errorf("none of %d enqueues was confirmed", n-1-i*round)
				}
				return nil
			})
			if err != nil {
				s.problem("enqueue on queue %d of %d while server %d is frozen: %v", i, queues, index, err)
			}
		})
	}
	all.Wait()
	s.waitOver(s.noticed(), "the jobs that were confirmed while a server is frozen")
	thaw()
	s.history.Add(Event{Op: Mended})
	for i, x := range producers {
		x.enqueueTold(i*round+round-1, 1)
	}
	s.waitOver(s.noticed(), "the jobs that were confirmed after that")
	s.check(Judge(s.history.Events(), s.grace()), "judge the history")
}

// producers are handles with a queue each, all of them declared.
func (s *stage) producers(n int) []*process {
	all := make([]*process, n)
	for i := range all {
		x := &process{stage: s, name: fmt.Sprintf("producer-%d", i+1), d: s.open()}
		queue := s.queue
		if i > 0 {
			queue = s.newQueue()
		}
		s.check(x.d.Declare(s.ctx, queue), "declare")
		var err error
		x.queue, err = batch.TryNewQueue(x.d, queue)
		s.check(err, "make the queue's handle")
		all[i] = x
	}
	return all
}
