package load

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch/bench/performance/peer"
)

// pickups are the workloads of how soon a job is started.
func pickups() []Workload {
	return []Workload{
		{Name: "pickup", What: "From the call of an enqueue to the handler, one job at a time on an idle queue", Kind: Latency, run: pickup},
		{Name: "paced", What: "From when a job should be enqueued to the handler, at 2000 jobs a second", Kind: Latency, run: func(ctx context.Context, r *run) error { return r.paced(ctx, 2000) }},
		{Name: "half", What: "The same at half of the rate at which this peer enqueues and handles at the same time", Kind: Latency, run: half},
	}
}

// arrivals has when jobs should be started, and how late they were.
type arrivals struct {
	mu sync.Mutex
	// guards following
	due  map[int64]time.Time
	late []time.Duration
}

// expect notes when a job should be started.
func (a *arrivals) expect(n int64, due time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due[n] = due
}

// handle notes how late a job is.
func (a *arrivals) handle(j peer.Job) {
	now := time.Now()
	a.mu.Lock()
	defer a.mu.Unlock()
	if due, ok := a.due[j.N]; ok {
		a.late = append(a.late, now.Sub(due))
		delete(a.due, j.N)
	}
}

// into writes the percentiles to a result.
func (a *arrivals) into(r *Result) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.late) == 0 {
		return
	}
	slices.Sort(a.late)
	at := func(permille int) time.Duration { return a.late[min(len(a.late)*permille/1000, len(a.late)-1)] }
	r.P50, r.P99, r.P999, r.Max = at(500), at(990), at(999), a.late[len(a.late)-1]
	r.Jobs = len(a.late)
	if early, _ := slices.BinarySearch(a.late, 0); early > 0 {
		note := fmt.Sprintf("%.0f %% started before they were due, by up to %s", 100*float64(early)/float64(len(a.late)), -a.late[0].Round(time.Millisecond))
		r.Note = strings.TrimSpace(r.Note + " " + note)
	}
}

// newArrivals expects nothing.
func newArrivals() *arrivals { return &arrivals{due: make(map[int64]time.Time)} }

// watched has a worker that notes when jobs come.
func (r *run) watched(ctx context.Context, a *arrivals, concurrency int, came chan<- struct{}) (func(), error) {
	return r.work(ctx, concurrency, func(j peer.Job) error {
		a.handle(j)
		err := r.seen.handle(j)
		if came != nil {
			came <- struct{}{}
		}
		return err
	})
}

// enqueueOne enqueues a job and waits until it came, which a counts if it is to note it.
func (r *run) enqueueOne(ctx context.Context, a *arrivals, came <-chan struct{}, queue string, note bool) error {
	j := r.job()
	if note {
		a.expect(j.N, time.Now())
	}
	if err := r.peer.Enqueue(ctx, queue, j); err != nil {
		return err
	}
	r.seen.sent(1)
	select {
	case <-came:
		return nil
	case <-time.After(r.scale.Patience):
		return errCut
	}
}

// pickup measures a job at a time.
func pickup(ctx context.Context, r *run) error {
	a := newArrivals()
	came := make(chan struct{}, 1000)
	stop, err := r.watched(ctx, a, Workers, came)
	if err != nil {
		return err
	}
	defer stop()
	one := func(note bool) error { return r.enqueueOne(ctx, a, came, r.queues[0], note) }
	if err := one(false); err != nil {
		return err
	}
	r.meter.begin()
	start := time.Now()
	for time.Since(start) < 2*r.scale.Time {
		// In no step with anything, and long enough for a worker to be idle.
		time.Sleep(2*time.Millisecond + rand.N(8*time.Millisecond))
		if err := one(true); err != nil {
			return err
		}
	}
	r.result.Took = time.Since(start)
	r.result.Cost = r.meter.end()
	a.into(&r.result)
	return nil
}

// paced measures at a rate that does not depend on how fast the peer is.
func (r *run) paced(ctx context.Context, rate float64) error {
	a := newArrivals()
	stop, err := r.watched(ctx, a, Workers, nil)
	if err != nil {
		return err
	}
	defer stop()
	return r.pace(ctx, a, rate)
}

// pace has 64 callers enqueue at a rate.
func (r *run) pace(ctx context.Context, a *arrivals, rate float64) error {
	ticks := make(chan time.Time, 1<<16)
	var all sync.WaitGroup
	var once sync.Once
	var failed error
	for range Callers {
		all.Go(func() {
			for due := range ticks {
				j := r.job()
				a.expect(j.N, due)
				if err := r.peer.Enqueue(ctx, r.queues[0], j); err != nil {
					once.Do(func() { failed = err })
					continue
				}
				r.seen.sent(1)
			}
		})
	}
	r.meter.begin()
	start := time.Now()
	n, most := 0, int(rate*(2*r.scale.Time).Seconds())
	for n < most {
		time.Sleep(time.Millisecond)
		for want := min(most, int(rate*time.Since(start).Seconds())); n < want; n++ {
			ticks <- start.Add(time.Duration(float64(n) / rate * float64(time.Second)))
		}
	}
	close(ticks)
	all.Wait()
	r.result.Rate = rate
	r.result.Took = time.Since(start)
	if failed != nil {
		return failed
	}
	if r.settle() != nil {
		r.result.Note = errCut.Error()
	}
	r.result.Cost = r.meter.end()
	a.into(&r.result)
	if behind := time.Duration(float64(most)/rate*1e9) * 3 / 2; r.result.Took > behind {
		r.result.Note = fmt.Sprintf("it cannot keep this rate: it took %.1f s", r.result.Took.Seconds())
	}
	return nil
}

// half measures what the peer can do, and then at half of it.
func half(ctx context.Context, r *run) error {
	a := newArrivals()
	stop, err := r.watched(ctx, a, Workers, nil)
	if err != nil {
		return err
	}
	defer stop()
	start := time.Now()
	jobs, err := r.callers(ctx, r.peer.Enqueue, Callers, 1<<30, r.scale.Time)
	if err != nil {
		return err
	}
	if err := r.settle(); err != nil {
		return err
	}
	return r.pace(ctx, a, max(10, float64(jobs)/r.seen.lastAt().Sub(start).Seconds()/2))
}

// delays is the workload of many jobs that are due in a short time.
func delays() Workload {
	return Workload{
		Name: "delays", What: "How late jobs are that were enqueued with a delay, all due within 10 s",
		Kind: Latency, run: func(ctx context.Context, r *run) error {
			d, ok := r.peer.(peer.Delayer)
			if !ok {
				return ErrLacks
			}
			a := newArrivals()
			stop, err := r.watched(ctx, a, Workers, nil)
			if err != nil {
				return err
			}
			defer stop()
			n := r.scale.Delayed
			window := r.scale.Window
			begin := time.Now().Add(max(window/5, time.Duration(n)*100*time.Microsecond))
			r.meter.begin()
			start := time.Now()
			err = peer.Each(r.jobs(n), func(j peer.Job) error {
				due := begin.Add(rand.N(window))
				a.expect(j.N, due)
				err := d.EnqueueAt(ctx, r.queues[0], j, due)
				if err == nil {
					r.seen.sent(1)
				}
				return err
			})
			if err != nil {
				return err
			}
			if time.Now().After(begin) {
				r.result.Note = fmt.Sprintf("enqueueing them took %.1f s, so that some were late before they were stored", time.Since(start).Seconds())
			}
			r.result.Rate = float64(n) / window.Seconds()
			if !r.seen.await(time.Until(begin.Add(window)) + r.scale.Patience) {
				r.result.Note = errCut.Error()
			}
			r.result.Took = time.Since(start)
			r.result.Cost = r.meter.end()
			a.into(&r.result)
			return nil
		},
	}
}
