package batch_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// far makes the calls of a scripted driver take a round trip.
func far(d *scripted, trip time.Duration) {
	d.slowSettle = trip
	d.onReceived = func(_ int, got []*driver.Delivery) ([]*driver.Delivery, error) {
		time.Sleep(trip) // fake time
		return got, nil
	}
}

// fillTasks enqueues n tasks.
func fillTasks[D driver.Driver](t *testing.T, q *batch.Queue[D], n int, options ...batch.Option[D]) {
	t.Helper()
	requests := make([]batch.Request[D], n)
	for i := range requests {
		requests[i] = batch.Request[D]{Args: task{i}, Options: options}
	}
	if _, err := q.EnqueueMany(t.Context(), requests); err != nil {
		t.Fatal(err)
	}
}

// With its defaults a worker drains a queue about as fast as its slots can, however short the
// handlers are and however far the broker is, and what it fetches ahead does not exceed its
// bounds.
func TestWorkerAdapts(t *testing.T) {
	for _, c := range []struct {
		takes, trip time.Duration
		jobs        int
		ahead       int           // at most
		within      time.Duration // for all jobs; the slots alone need takes times jobs over ten
	}{
		{time.Millisecond, time.Millisecond, 5000, 220, 550 * time.Millisecond},
		{time.Millisecond, 20 * time.Millisecond, 20_000, 1000, 2500 * time.Millisecond},
		{10 * time.Millisecond, time.Millisecond, 1000, 25, 1100 * time.Millisecond},
		{5 * time.Second, time.Millisecond, 100, 2, 51 * time.Second},
	} {
		t.Run(fmt.Sprintf("%s,%s", c.takes, c.trip), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				far(d, c.trip)
				r := newRig(t, d, func(c *batch.WorkerConfig) { c.Hooks = nil })
				var done sync.WaitGroup
				done.Add(c.jobs)
				most := 0
				var mu sync.Mutex
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error {
					time.Sleep(c.takes) // fake time
					mu.Lock()
					most = max(most, r.worker.Prefetch("tasks"))
					mu.Unlock()
					done.Done()
					return nil
				})
				fillTasks(t, r.queue, c.jobs)
				start := time.Now()
				r.start(t)
				done.Wait()
				if took := time.Since(start); took > c.within {
					t.Errorf("it took %s, want at most %s", took, c.within)
				}
				if most > c.ahead {
					t.Errorf("it fetched %d jobs ahead, want at most %d", most, c.ahead)
				}
				r.stop(t)
				if n := r.worker.Prefetch("other"); n != 0 {
					t.Errorf("it fetches %d jobs ahead from a queue that it does not know", n)
				}
			})
		})
	}
}

// A worker whose handlers take long from one moment to the next gives back what it has fetched
// ahead, and another worker that is idle runs it.
func TestWorkerDoesNotHoard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs, slots = 3000, 10
		d := newScripted()
		far(d, time.Millisecond)
		var slow atomic.Bool
		handle := func(_ context.Context, job *batch.Job[task]) error {
			if job.Attempt != 1 {
				t.Errorf("job %d: attempt %d, want the first", job.Args.N, job.Attempt)
			}
			if slow.Load() {
				time.Sleep(10 * time.Second) // fake time
			} else {
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		one, two := newRig(t, d, nil), newRig(t, d, nil)
		two.queue = one.queue
		for _, r := range []*rig[*scripted]{one, two} {
			r.events.ended = make(chan batch.JobEnd, 2*jobs)
			batch.Handle(r.worker, handle)
		}
		fillTasks(t, one.queue, jobs)
		one.start(t)
		for depth(t, one.queue).Waiting > 0 {
			time.Sleep(time.Millisecond)
		}
		slow.Store(true)
		held := depth(t, one.queue).Running
		if held < 5*slots {
			t.Fatalf("the worker holds %d jobs, which is no full buffer", held)
		}
		two.start(t)
		time.Sleep(2100 * time.Millisecond)
		if now := depth(t, one.queue); now.Running != 2*slots || now.Waiting == 0 {
			t.Errorf("%d jobs are held and %d wait of %d, want those in the slots of two workers to be held", now.Running, now.Waiting, held)
		}
		if n := one.worker.Prefetch("tasks"); n != 0 {
			t.Errorf("it fetches %d jobs ahead when none starts", n)
		}
		for _, r := range []*rig[*scripted]{one, two} {
			r.stop(t)
			if n := r.events.leasesLost(); n > 0 {
				t.Errorf("%d leases were lost", n)
			}
		}
	})
}

// A job that no handler was called for says nothing of how long they take.
func TestRefusedJobsTeachNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, newScripted(), nil)
		r.events.ended = make(chan batch.JobEnd, 100)
		release := make(chan struct{})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error {
			<-release
			return nil
		})
		fillTasks(t, r.queue, 10, batch.ExpiresIn(r.queue, time.Millisecond))
		time.Sleep(time.Second) // fake time
		fillTasks(t, r.queue, 50)
		r.start(t)
		time.Sleep(time.Second)
		if now := depth(t, r.queue); now.Running != 10 || now.Waiting != 40 || r.worker.Prefetch("tasks") != 0 {
			t.Errorf("%d jobs are held, %d wait and it fetches %d ahead, before a handler has returned",
				now.Running, now.Waiting, r.worker.Prefetch("tasks"))
		}
		close(release)
		for range 60 {
			<-r.events.ended
		}
		if r.worker.Prefetch("tasks") == 0 {
			t.Error("it fetches nothing ahead of short handlers")
		}
		r.stop(t)
		if n := r.worker.Prefetch("tasks"); n != 0 {
			t.Errorf("it fetches %d jobs ahead when it has stopped", n)
		}
	})
}

// After a time in which nothing came, one worker takes no more of a burst than its slots and
// as many again.
func TestWorkerLeavesBurstToOthers(t *testing.T) {
	for _, jobs := range []int{1000, 3000, 1024} {
		synctest.Test(t, func(t *testing.T) {
			d := newScripted()
			far(d, time.Millisecond)
			r := newRig(t, d, nil)
			r.events.ended = make(chan batch.JobEnd, 2*jobs)
			var slow atomic.Bool
			batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error {
				if slow.Load() {
					<-ctx.Done()
				}
				return nil
			})
			fillTasks(t, r.queue, jobs)
			r.start(t)
			for range jobs {
				<-r.events.ended
			}
			time.Sleep(time.Minute)
			slow.Store(true)
			fillTasks(t, r.queue, 500)
			time.Sleep(50 * time.Millisecond)
			if now := depth(t, r.queue); now.Running > 20 {
				t.Errorf("%d jobs of a burst are held by one worker with ten slots, want at most 20", now.Running)
			}
			time.Sleep(2 * time.Second)
			if now := depth(t, r.queue); now.Running > 10 {
				t.Errorf("%d jobs are held two seconds later, want those that run", now.Running)
			}
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := r.worker.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// A job of a higher priority overtakes what was fetched ahead within half of the 20 ms that
// this lasts, and a round trip.
func TestPriorityOvertakesWhatIsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		far(d, time.Millisecond)
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Hooks = nil })
		started := make(chan time.Time, 1)
		batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
			if job.Args.N < 0 {
				started <- time.Now()
			}
			time.Sleep(time.Millisecond) // fake time
			return nil
		})
		fillTasks(t, r.queue, 20_000, batch.Priority(r.queue, batch.Low))
		r.start(t)
		time.Sleep(300 * time.Millisecond)
		for range 20 {
			time.Sleep(time.Duration(rand.IntN(20_000)) * time.Microsecond)
			enqueued := time.Now()
			r.enqueue(t, task{-1}, batch.Priority(r.queue, batch.Critical))
			if late := (<-started).Sub(enqueued); late > 15*time.Millisecond {
				t.Errorf("a critical job started after %s, want at most 10 ms and two round trips", late)
			}
		}
		r.stop(t)
	})
}

// Whatever handlers take and whenever workers stop, every job runs once, also while jobs are
// given back because they have waited for too long.
func TestAdaptingWorkersStop(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			const jobs = 200
			d := memory.New()
			q := batch.NewQueue(d, "tasks")
			var mu sync.Mutex
			done := make(map[int]int)
			takes := func(n int) time.Duration {
				return time.Duration(rand.New(rand.NewPCG(seed, uint64(n))).IntN(6000)) * time.Millisecond
			}
			fillTasks(t, q, jobs)
			for left := true; left; {
				r := newRig(t, d, func(c *batch.WorkerConfig) {
					c.Hooks, c.StopTimeout = nil, time.Minute
					c.Queues[0].Concurrency, c.Queues[0].Lease = 1+random.IntN(10), time.Duration(1+random.IntN(10))*time.Second
				})
				batch.Handle(r.worker, func(_ context.Context, job *batch.Job[task]) error {
					if job.Args.N%3 > 0 {
						time.Sleep(takes(job.Args.N)) // fake time
					}
					mu.Lock()
					done[job.Args.N]++
					mu.Unlock()
					return nil
				})
				r.start(t)
				time.Sleep(time.Duration(random.IntN(20_000)) * time.Millisecond)
				r.stop(t)
				left = depth(t, q) != batch.Depth{}
			}
			if len(done) != jobs {
				t.Errorf("%d jobs ran, want %d", len(done), jobs)
			}
			for n, times := range done {
				if times != 1 {
					t.Errorf("job %d ran %d times", n, times)
				}
			}
		})
	}
}

// manyQueues are the queues of a worker that has hundreds.
func manyQueues(n int) (queues []batch.WorkerQueue) {
	for i := range n {
		queues = append(queues, batch.WorkerQueue{Name: fmt.Sprint("queue-", i), Concurrency: 100})
	}
	return queues
}

// A worker has one goroutine for a queue that is idle, whatever its concurrency, also after it
// was busy, and what it has for jobs ends with them.
func TestGoroutinesGrowWithRunningJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const queues, jobs = 500, 4
		d := memory.New()
		before := runtime.NumGoroutine()
		w := batch.NewWorker(d, batch.WorkerConfig{Queues: manyQueues(queues), Log: silent})
		release := make(chan struct{})
		batch.Handle(w, func(context.Context, *batch.Job[task]) error { <-release; return nil })
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		expect := func(when string, most int) {
			t.Helper()
			synctest.Wait()
			if n := runtime.NumGoroutine() - before; n > most {
				t.Errorf("%d goroutines %s of %d queues with 100 slots each, want at most %d", n, when, queues, most)
			}
		}
		const few = 20
		expect("when idle", queues+few)
		for i := range queues {
			fillTasks(t, batch.NewQueue(d, fmt.Sprint("queue-", i)), jobs)
		}
		expect("while jobs run", queues+queues*jobs+few)
		close(release)
		expect("when idle again", queues+few)
		time.Sleep(time.Minute)
		expect("a minute later", queues+few)
		if err := w.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		expect("when stopped", few)
	})
}

// emptyAndFailed counts the Receive calls that found nothing, and those that failed.
func emptyAndFailed(c *calls) (empty, failed int) {
	for _, call := range c.find(batch.OpReceive) {
		switch {
		case call.Err != nil:
			failed++
		case call.Jobs == 0:
			empty++
		}
	}
	return empty, failed
}

// The end of a backlog is no failure: a Receive that was bounded, and found nothing, tells hooks of
// no error. One that failed as its bound ended does, and is tried again after a while.
func TestTheEndOfABacklogIsNoFailure(t *testing.T) {
	for _, broken := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			const jobs = 2000
			d, c := newScripted(), &calls{}
			var ended atomic.Bool
			far(d, time.Millisecond)
			d.onReceiveError = func(err error) error {
				if broken && errors.Is(err, context.DeadlineExceeded) && ended.CompareAndSwap(false, true) {
					return unavailable(driver.FateNotStored)
				}
				return err
			}
			r := newRig(t, d, func(w *batch.WorkerConfig) { w.Hooks = append(w.Hooks, c) })
			r.events.ended = make(chan batch.JobEnd, jobs)
			batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
			fillTasks(t, r.queue, jobs)
			r.start(t)
			// A backlog may end where a Receive does, and none finds nothing then: there is another.
			empty, failed := 0, 0
			for rounds := 1; empty+failed == 0 && rounds <= 20; rounds++ {
				if rounds > 1 {
					fillTasks(t, r.queue, jobs)
				}
				for range jobs {
					<-r.events.ended
				}
				time.Sleep(5 * time.Second)
				empty, failed = emptyAndFailed(c)
			}
			if broken && failed != 1 || !broken && (failed > 0 || empty == 0) {
				t.Errorf("broken %t: %d calls failed and %d found nothing", broken, failed, empty)
			}
			r.stop(t)
			if told := len(r.events.faults); told != failed {
				t.Errorf("broken %t: %d faults are told of, want %d", broken, told, failed)
			}
		})
	}
}
