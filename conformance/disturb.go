package conformance

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

var disturbCases = []Case{
	{Name: "disturbed", Rule: "While connections are cut, delayed, refused and silent in one direction or both, at random, no confirmed job is lost, none runs that is certainly not stored, and each that runs twice has a cause.", Needs: networked, leases: true, timed: true, run: caseDisturbed},
	{Name: "killed-worker", Rule: "Workers that are killed at any call lose no job, and run again none that they had not begun.", Needs: networked, leases: true, timed: true, run: caseKilledWorker},
	{Name: "killed-producer", Rule: "A producer that is killed at any call of EnqueueMany leaves every job that was confirmed, and none that is certainly not stored.", Needs: networked, leases: true, run: caseKilledProducer},
	{Name: "killed-atomic", Rule: "A producer that is killed at any call of EnqueueAtomic leaves all jobs of it or none.", Needs: []string{needsOpenAt, "AtomicEnqueuer"}, leases: true, run: caseKilledAtomic},
}

// disturbance is one that a case chooses at random.
type disturbance struct {
	what string
	how  func(*proxy.Proxy)
}

// disturbanceKinds are those.
var disturbanceKinds = []disturbance{
	{"connections are reset", func(p *proxy.Proxy) { p.Reset() }},
	{"connections end", func(p *proxy.Proxy) { p.End() }},
	{"nothing passes to the broker", func(p *proxy.Proxy) { p.Hold(proxy.Up) }},
	{"nothing passes from the broker", func(p *proxy.Proxy) { p.Hold(proxy.Down) }},
	{"nothing passes", func(p *proxy.Proxy) { p.Hold(proxy.Both) }},
	{"all is late", func(p *proxy.Proxy) { p.Delay(40 * time.Millisecond) }},
	{"connections are reset and refused", func(p *proxy.Proxy) { _ = p.Refuse(); p.Reset() }},
	{"connections are forgotten", func(p *proxy.Proxy) { p.Forget() }},
}

// troubled is a handler that takes a while and fails at random: decided by the job and the
// attempt, so that a seed repeats it whatever the order in which workers come.
func (s *stage) troubled(ctx context.Context, j *job) error {
	r := rand.New(rand.NewPCG(s.seed, uint64(j.Args.N*100+j.Attempt)))
	if err := busy(ctx, time.Duration(r.IntN(15))*time.Millisecond); err != nil {
		return err
	}
	if r.IntN(4) == 0 {
		return errors.New("at random")
	}
	return nil
}

// patient gives a worker as many attempts as a case can need, and quick retries.
func patient(c *batch.WorkerConfig) {
	c.MaxAttempts, c.MaxRedeliveries = 1000, 1000
	c.RetryPolicy = batch.ConstantBackoff(50 * time.Millisecond)
	c.Queues[0].Concurrency, c.Queues[0].Prefetch = 3, 3
}

// disturbAll runs two workers and two producers, each of which calls produce until it is
// over, and disturbs them at random meanwhile.
func (s *stage) disturbAll(rounds int, produce func(x *process, ended context.Context, which int)) {
	s.declared()
	var all []*process
	for n := range 2 {
		x := s.process(fmt.Sprintf("worker-%d", n+1))
		x.works(s.troubled, patient)
		all = append(all, x)
	}
	ended, end := context.WithCancel(s.ctx)
	defer end()
	var producers sync.WaitGroup
	defer producers.Wait()
	for n := range 2 {
		x := s.process(fmt.Sprintf("producer-%d", n+1))
		all = append(all, x)
		producers.Go(func() { produce(x, ended, n) })
	}
	for range rounds {
		x := all[s.random.IntN(len(all))]
		kind := disturbanceKinds[s.random.IntN(len(disturbanceKinds))]
		x.disturb(kind.what, kind.how)
		s.pass(time.Duration(50+s.random.IntN(350)) * time.Millisecond)
		x.mend()
	}
	end()
	producers.Wait()
	s.finished(2*s.grace(), driver.Depth{})
}

func caseDisturbed(s *stage) {
	s.disturbAll(16, func(x *process, ended context.Context, which int) {
		for from := which * far; ended.Err() == nil; from += 3 {
			x.enqueueTold(from, 1)
			x.enqueueTold(from+1, 2)
			_ = busy(ended, 20*time.Millisecond)
		}
	})
}

// far is how far the numbers of one producer's jobs are from another's.
const far = 1_000_000

// kill plans the death of a process at one of its next calls, chosen at random, and
// returns what is closed when it dies.
func (x *process) kill(within int) <-chan struct{} {
	c := proxy.Cut{Call: x.p.Calls() + 1 + x.random.IntN(within), After: x.random.IntN(2) == 0, ForGood: true}
	x.history.Add(Event{Op: Noted, Worker: x.name, Note: fmt.Sprintf("to be killed at call %d, after it: %t", c.Call, c.After)})
	return x.p.CutAt(c)
}

func caseKilledWorker(s *stage) {
	const jobs, deaths, calls = 120, 10, 25
	d := s.declared()
	s.put(d, tasks(jobs)...)
	for n := range deaths {
		x := s.process(fmt.Sprintf("worker-%d", n+1))
		died := x.kill(calls)
		err := x.tries(s.troubled, patient, func(c *batch.WorkerConfig) { c.StartTimeout = time.Second })
		if err != nil && !closed(died) && !errors.Is(err, context.DeadlineExceeded) { // on a slow machine it dies before it has started
			s.failf("start a worker: %v", err)
		}
		// A worker that has nothing to do makes no calls, so that it does not die.
		ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
		select {
		case <-died:
		case <-ctx.Done():
		}
		cancel()
		x.bury()
	}
	last := s.process("last")
	last.works(s.troubled, patient)
	s.finished(2*s.grace(), driver.Depth{})
}

// tasks makes n jobs that a worker can run.
func tasks(n int) []*driver.Message {
	all := messages(n)
	for i, m := range all {
		m.Body = fmt.Appendf(nil, `{"n":%d}`, i)
	}
	return all
}

// killProducers lets producers die, each at a call of its own.
func (s *stage) killProducers(produce func(x *process, n int)) {
	const deaths, calls = 12, 6
	s.declared()
	var all sync.WaitGroup
	for n := range deaths {
		x := s.process(fmt.Sprintf("producer-%d", n+1))
		x.kill(calls)
		all.Go(func() {
			produce(x, n)
			x.bury()
		})
	}
	all.Wait()
	s.work(s.open(), nothing, patient)
	s.finished(s.grace(), driver.Depth{})
}

func caseKilledProducer(s *stage) {
	const calls, each = 6, 20
	s.killProducers(func(x *process, n int) {
		var all sync.WaitGroup
		for call := range calls {
			all.Go(func() { x.enqueueTold((n*calls+call)*each, each) })
		}
		all.Wait()
	})
}

func caseKilledAtomic(s *stage) {
	const calls, each = 4, 5
	var mu sync.Mutex
	var groups [][]string
	s.killProducers(func(x *process, n int) {
		var all sync.WaitGroup
		for call := range calls {
			all.Go(func() {
				group := x.enqueueAtomic((n*calls+call)*each, each)
				mu.Lock()
				defer mu.Unlock()
				groups = append(groups, group)
			})
		}
		all.Wait()
	})
	s.check(AllOrNone(s.history.Events(), groups), "judge the history")
}

// enqueueAtomic enqueues jobs, all or none, and records what it was told. It returns
// their IDs.
func (x *process) enqueueAtomic(from, n int) []string {
	q := queueOf[batch.AtomicEnqueuer](x.stage, x.d)
	ctx, cancel := context.WithTimeout(x.ctx, enqueueWithin)
	defer cancel()
	requests := make([]batch.Request[batch.AtomicEnqueuer], n)
	ids := make([]string, n)
	for i := range requests {
		ids[i] = name(from + i)
		x.history.Add(Event{Op: Enqueueing, ID: ids[i], Worker: x.name})
		requests[i] = batch.Request[batch.AtomicEnqueuer]{Args: task{N: from + i}, Options: []batch.Option[batch.AtomicEnqueuer]{batch.ID(q, ids[i])}}
	}
	_, err := batch.EnqueueAtomic(ctx, q, requests)
	for _, id := range ids {
		x.told(id, false, err)
	}
	return ids
}
