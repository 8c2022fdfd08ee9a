package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// suspectConfig is of a worker on two queues that suspects a job that was lost twice.
func suspectConfig() batch.WorkerConfig {
	return batch.WorkerConfig{
		Queues:          []batch.WorkerQueue{{Name: "one", Concurrency: 2, Prefetch: 2}, {Name: "two", Concurrency: 2, Prefetch: 2}},
		MaxRedeliveries: 4,
		Log:             silent,
		StopTimeout:     time.Minute, // 50 s to finish, 5 s for cancelled handlers
	}
}

// isSuspect reports whether a job is one of those that tests have lost.
func isSuspect(n int) bool { return n >= 100 }

// While a suspect runs, the worker holds nothing else: what was prefetched is back
// with the broker, and what ran has ended before. The next suspect comes right after it,
// and then the work goes on.
func TestSuspectRunsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadly(t, "one", "two")
		for n := range 6 {
			d.enqueue(t, "one", n)
		}
		d.lose(t, "two", 2, 100, 101, 102)
		for n := 6; n < 9; n++ {
			d.enqueue(t, "two", n)
		}
		events := &events{ended: make(chan batch.JobEnd, 1000)}
		config := suspectConfig()
		config.Hooks = []batch.Hook{events}
		w := batch.NewWorker(d.open(t), config)
		var order []int
		var mu sync.Mutex
		batch.Handle(w, func(ctx context.Context, job *batch.Job[task]) error {
			if isSuspect(job.Args.N) {
				if one, two := d.depthOf(t, "one"), d.depthOf(t, "two"); one.Running != 0 || two.Running != 1 {
					t.Errorf("beside the suspect, %d and %d are held on the queues", one.Running, two.Running-1)
				}
			}
			sleepIn(ctx, time.Second)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, job.Args.N)
			return nil
		})
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for d.left(t) > 0 {
			time.Sleep(time.Second) // fake time
		}
		if err := w.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if at := slices.IndexFunc(order, isSuspect); len(order) != 12 || at < 0 || !isSuspect(order[at+1]) || !isSuspect(order[at+2]) || len(events.faults) > 0 {
			t.Errorf("order %v, faults %v; want all, the suspects together, and none", order, events.faults)
		}
		if !slices.Equal(events.suspects, []int{2, 2, 2}) {
			t.Errorf("suspects with redeliveries %v were reported, want three with 2 each", events.suspects)
		}
	})
}

// suspectRig is a worker that runs an ordinary job on queue one and has met a suspect
// on queue two, for which it waits.
type suspectRig struct {
	*deadly
	d      *scripted
	worker *batch.Worker
	events *events
	// ordinary lets the ordinary job end, and suspect the suspect, which has started
	// when started is closed.
	ordinary, suspect, started chan struct{}
}

// newSuspectRig makes one. ignores makes the handlers ignore their contexts.
func newSuspectRig(t *testing.T, ignores bool, change func(*batch.WorkerConfig)) *suspectRig {
	t.Helper()
	r := &suspectRig{
		deadly: newDeadly(t, "one", "two"), events: &events{ended: make(chan batch.JobEnd, 1000)},
		ordinary: make(chan struct{}), suspect: make(chan struct{}), started: make(chan struct{}),
	}
	r.lose(t, "two", 2, 100)
	r.d = &scripted{Driver: r.open(t)}
	config := suspectConfig()
	config.Hooks = []batch.Hook{r.events}
	if change != nil {
		change(&config)
	}
	r.worker = batch.NewWorker(r.d, config)
	batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
		gate := r.ordinary
		if job.Args.N == 100 {
			gate = r.suspect
			close(r.started)
		}
		if ignores {
			<-gate
			return nil
		}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	// The ordinary job is handed out before the suspect, which a paused queue holds.
	if err := r.d.Pause(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	r.enqueue(t, "one", 0)
	if err := r.worker.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if err := r.d.Resume(t.Context(), "two"); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if two := r.depthOf(t, "two"); two.Running != 1 {
		t.Fatalf("the suspect is not held: %+v", two)
	}
	select {
	case <-r.started:
		t.Fatal("the suspect runs beside another job")
	default:
	}
	return r
}

// stop stops the worker, and checks the time and what is left on the queues.
func (r *suspectRig) stop(t *testing.T, within time.Duration, one, two int64) {
	t.Helper()
	start := time.Now()
	if err := r.worker.Stop(context.Background()); err != nil {
		t.Errorf("Stop = %v, want nil", err)
	}
	if took := time.Since(start); took > within {
		t.Errorf("Stop took %s, want at most %s", took, within)
	}
	a, b := r.depthOf(t, "one"), r.depthOf(t, "two")
	if a.Waiting != one || b.Waiting != two || a.Running+b.Running+a.Dead+b.Dead+a.Scheduled+b.Scheduled != 0 {
		t.Errorf("left %+v and %+v, want %d and %d waiting", a, b, one, two)
	}
	if two == 1 {
		c, err := r.open(t).Consume(t.Context(), "two", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Receive(t.Context(), 1)
		if err != nil || got[0].Redeliveries != 2 || got[0].Failures != 0 {
			t.Errorf("the suspect came back as %+v, %v; want 2 redeliveries and no failure", got, err)
		}
	}
}

func TestStopWhileASuspectWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, nil)
		r.stop(t, 50*time.Second, 1, 1) // both jobs are cancelled when it is time
	})
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, true, nil)
		defer func() { close(r.ordinary); synctest.Wait() }()
		r.stop(t, 55*time.Second, 1, 1) // the ordinary one is left behind
	})
}

func TestStopWhileASuspectRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, nil)
		close(r.ordinary)
		<-r.started
		time.AfterFunc(time.Second, func() { close(r.suspect) })
		r.stop(t, time.Second, 0, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, nil)
		close(r.ordinary)
		<-r.started
		r.stop(t, 50*time.Second, 0, 1) // cancelled
	})
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, true, nil)
		close(r.ordinary)
		<-r.started
		defer func() { close(r.suspect); synctest.Wait() }()
		r.stop(t, 55*time.Second, 0, 1) // left behind
	})
}

// A worker whose broker is away after an isolation tries to open its consumers until
// it is back, and can be stopped meanwhile.
func TestConsumersAreOpenedAgainAfterASuspect(t *testing.T) {
	for _, back := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			r := newSuspectRig(t, false, nil)
			first := count(&r.d.mu, &r.d.declares)
			r.d.onDeclare = func(n int) error {
				if n <= first+5 || !back {
					return unavailable(driver.FateNotStored)
				}
				return nil
			}
			close(r.ordinary)
			close(r.suspect)
			if back {
				<-r.events.ended
				<-r.events.ended
				r.enqueue(t, "one", 1)
				r.enqueue(t, "two", 2)
				<-r.events.ended
				<-r.events.ended
			} else {
				time.Sleep(10 * time.Minute) // fake time
			}
			if ops := r.events.faultOps(); len(ops) < 5 || slices.Compact(ops)[0] != "declare" {
				t.Errorf("faults = %v, want each failed declare", ops)
			}
			r.stop(t, 0, 0, 0)
		})
	}
}

// If a consumer could not give back what it has fetched, the suspect would not be
// alone. It is given back, and isolated later.
func TestSuspectIsNotRunUnlessAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadly(t, "one", "two")
		d.lose(t, "two", 2, 100)
		s := &scripted{Driver: d.open(t)}
		s.onStop = func(n int) error {
			if n <= 4 {
				return unavailable(driver.FateUnknown)
			}
			return nil
		}
		events := &events{ended: make(chan batch.JobEnd, 1000)}
		config := suspectConfig()
		config.Hooks = []batch.Hook{events}
		w := batch.NewWorker(s, config)
		batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
		start := time.Now()
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		var outcomes []batch.Outcome
		for len(outcomes) < 3 {
			outcomes = append(outcomes, (<-events.ended).Verdict.Outcome)
		}
		if want := []batch.Outcome{batch.OutcomeRelease, batch.OutcomeRelease, batch.OutcomeDone}; !slices.Equal(outcomes, want) {
			t.Errorf("outcomes = %v, want %v", outcomes, want)
		}
		if took := time.Since(start); took < 75*time.Millisecond {
			t.Errorf("two isolations failed within %s: there is no pause between them", took)
		}
		if ops := slices.Compact(events.faultOps()); !slices.Equal(ops, []string{"stop"}) {
			t.Errorf("faults = %v, want stop", ops)
		}
		if err := w.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// The suspect's lease is lost while it waits, or while it runs.
func TestSuspectLosesItsLease(t *testing.T) {
	lose := func(d *scripted) {
		d.mu.Lock()
		defer d.mu.Unlock()
		lost := false
		d.onExtend = func(_ int, all []*driver.Delivery) []error {
			errs := make([]error, len(all))
			for i, e := range all {
				if strings.Contains(string(e.Body), "100") && !lost {
					lost = true
					errs[i] = &driver.Error{Driver: "scripted", Op: "extend", Kind: driver.ErrLeaseLost}
				}
			}
			return errs
		}
	}
	shorter := func(c *batch.WorkerConfig) { c.Queues[1].Lease = 3 * time.Second }
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, shorter)
		lose(r.d)
		time.Sleep(2 * time.Second) // fake time
		if r.events.leasesLost() != 1 {
			t.Fatal("the lease was not lost")
		}
		close(r.suspect)
		close(r.ordinary)
		<-r.events.ended
		<-r.started // the broker hands it out again when its lease ends
		<-r.events.ended
		r.stop(t, 0, 0, 0)
	})
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, shorter)
		close(r.ordinary)
		<-r.started
		r.started = make(chan struct{})
		lose(r.d)
		for {
			if end := <-r.events.ended; end.Job.Queue == "two" {
				if !errors.Is(end.Err, batch.ErrLeaseLost) {
					t.Errorf("the suspect ended with %v, want ErrLeaseLost", end.Err)
				}
				break
			}
		}
		close(r.suspect)
		<-r.started
		<-r.events.ended
		r.stop(t, 0, 0, 0)
	})
}

// A suspect that ignores its timeout has failed, and the work goes on without it.
func TestStuckSuspectDoesNotStopTheWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, true, func(c *batch.WorkerConfig) {
			c.Timeout, c.StuckAfter = time.Minute, time.Second
			c.RetryPolicy = batch.ConstantBackoff(time.Hour)
		})
		close(r.ordinary)
		<-r.started
		<-r.events.ended
		if end := <-r.events.ended; end.Job.Queue != "two" || end.Verdict.Outcome != batch.OutcomeRetry {
			t.Errorf("ended as %+v, want a retry of the suspect", end)
		}
		r.enqueue(t, "one", 1)
		if end := <-r.events.ended; end.Verdict.Outcome != batch.OutcomeDone {
			t.Errorf("the next job ended as %+v", end)
		}
		close(r.suspect)
		synctest.Wait()
		if err := r.worker.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// A driver that is closed in the middle of an isolation ends the worker.
func TestDriverIsClosedWhileASuspectWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, nil)
		if err := r.d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(r.ordinary)
		close(r.suspect)
		<-r.worker.Failed()
		if err := r.worker.Stop(context.Background()); err != nil {
			t.Logf("Stop = %v", err)
		}
	})
}

// A worker that runs suspects and other jobs is stopped at any moment, at times with
// a broker that does not answer any more: it ends in time. If the broker answers, the
// worker holds nothing then.
func TestStopAtAnyMoment(t *testing.T) {
	for range 40 {
		seed := rand.Uint64()
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(seed, 1))
				d := newDeadly(t, "one", "two")
				suspects := []int{100, 101, 102, 103, 104}
				d.lose(t, "one", 2, suspects[:random.IntN(3)+1]...)
				d.lose(t, "two", 3, suspects[3:]...)
				for n := range 20 {
					d.enqueue(t, d.queues[random.IntN(2)], n)
				}
				total := d.left(t)
				takes := make([]time.Duration, 105)
				for n := range takes {
					takes[n] = time.Duration(random.IntN(30)) * 100 * time.Millisecond
				}
				config := suspectConfig()
				s := &scripted{Driver: d.open(t), slowSettle: time.Duration(random.IntN(100)) * time.Millisecond}
				w := batch.NewWorker(s, config)
				var done atomic.Int64
				batch.Handle(w, func(ctx context.Context, job *batch.Job[task]) error {
					if !sleepIn(ctx, takes[job.Args.N]) {
						return ctx.Err()
					}
					done.Add(1)
					return nil
				})
				if err := w.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(random.IntN(30_000)) * time.Millisecond) // fake time
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
				defer cancel()
				hangs := random.IntN(3) == 0
				s.hangs.Store(hangs)
				start := time.Now()
				err := w.Stop(ctx)
				if took := time.Since(start); took > 2*time.Second {
					t.Errorf("Stop took %s", took)
				}
				if hangs {
					return // it cannot tell the broker anything
				}
				if err != nil {
					t.Errorf("Stop = %v", err)
				}
				one, two := d.depthOf(t, "one"), d.depthOf(t, "two")
				if one.Running+two.Running != 0 || one.Waiting+two.Waiting+done.Load() != total {
					t.Errorf("left %+v and %+v, and %d of %d done", one, two, done.Load(), total)
				}
			})
		})
	}
}

// goner is a hook that ends its goroutine when it is told of a suspect.
type goner struct{}

func (goner) OnSuspect(context.Context, batch.Suspect) { runtime.Goexit() }

func TestHookThatEndsItsGoroutineEndsNoIsolation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, func(c *batch.WorkerConfig) { c.Hooks = append(c.Hooks, goner{}) })
		close(r.ordinary)
		close(r.suspect)
		<-r.events.ended
		<-r.events.ended
		r.stop(t, 0, 0, 0)
	})
}

// Suspects of two queues that are met at the same time run one after the other, each alone:
// the one that waits is given back, and is not lost once more. Its lease is extended while it
// runs.
func TestSuspectsOfTwoQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadly(t, "one", "two")
		d.lose(t, "one", 2, 100, 101)
		d.lose(t, "two", 2, 102, 103)
		events := &events{ended: make(chan batch.JobEnd, 1000)}
		config := suspectConfig()
		config.Hooks = []batch.Hook{events}
		slow := &scripted{Driver: d.open(t)}
		slow.asks = 4
		slow.onReceived = func(_ int, got []*driver.Delivery) ([]*driver.Delivery, error) {
			if len(got) > 0 {
				time.Sleep(100 * time.Millisecond) // so that both lanes have received
			}
			return got, nil
		}
		w := batch.NewWorker(slow, config)
		var order []int
		batch.Handle(w, func(ctx context.Context, job *batch.Job[task]) error {
			sleepIn(ctx, 2*time.Minute) // four leases
			order = append(order, job.Args.N)
			return ctx.Err()
		})
		start := time.Now()
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for d.left(t) > 0 {
			time.Sleep(time.Second)
		}
		if took := time.Since(start); len(order) != 4 || took > 8*time.Minute+30*time.Second {
			t.Errorf("%v ran in %s, want four in two minutes each", order, took)
		}
		if err := w.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		events.mu.Lock()
		defer events.mu.Unlock()
		if !slices.Equal(events.suspects, []int{2, 2, 2, 2}) || events.lost != 0 {
			t.Errorf("suspects with redeliveries %v and %d leases lost, want four with 2 each and none", events.suspects, events.lost)
		}
	})
}

// Several suspects of a queue run one after the other, before the worker goes on with other
// jobs: else each would wait until those have ended.
func TestSuspectsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDeadly(t, "one", "two")
		for n := range 20 {
			d.enqueue(t, "one", n)
		}
		d.lose(t, "two", 2, 100, 101, 102)
		w := batch.NewWorker(d.open(t), suspectConfig())
		var mu sync.Mutex
		var last time.Duration
		suspects := 0
		start := time.Now()
		batch.Handle(w, func(ctx context.Context, job *batch.Job[task]) error {
			if !isSuspect(job.Args.N) {
				sleepIn(ctx, 10*time.Minute)
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			suspects++
			last = time.Since(start)
			return nil
		})
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		mu.Lock()
		if suspects != 3 || last > 11*time.Minute {
			t.Errorf("%d suspects ran, the last after %s, want three after the jobs of ten minutes that ran", suspects, last)
		}
		mu.Unlock()
		if err := w.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
	})
}
