package bench

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

const (
	producers = 64
	jobs      = 20_000   // a round of one contender
	backlog   = 5 * jobs // a round of processing, so that start and stop weigh little
	bodySize  = 256
)

// What a worker is set to: the defaults but for its concurrency. Beside it goes one with as
// many jobs in hand as the raw consumers prefetch.
const (
	concurrency = 64
	adapted     = 0
	exact       = 1000 - concurrency
)

// payload encodes to bodySize bytes of JSON.
type payload struct{ P string }

// Kind names the job.
func (payload) Kind() string { return "bench" }

var (
	args = payload{strings.Repeat("x", bodySize-len(`{"P":""}`))}
	body = []byte(`{"P":"` + args.P + `"}`)
)

// stopwatch adds up the rounds of one contender.
type stopwatch struct {
	jobs int
	took time.Duration
}

func (s *stopwatch) time(n int, do func()) {
	start := time.Now()
	do()
	s.took += time.Since(start)
	s.jobs += n
}

func (s *stopwatch) rate() float64 { return float64(s.jobs) / s.took.Seconds() }

// A contender does the work of a round in its own way.
type contender struct {
	name   string // of its rate: name/s
	target string // of a rival: what the ratio to it should be; of ours, no use
	before func() // makes things ready; not timed, and may be nil
	round  func()
	after  func() // leaves nothing to the next; not timed, and may be nil

	watch stopwatch
}

func (c *contender) run(n int) {
	if c.before != nil {
		c.before()
	}
	c.watch.time(n, c.round)
	if c.after != nil {
		c.after()
	}
}

// compare has the rivals and then ours do a round of n jobs in each iteration,
// and reports the rate of each and the ratio of ours to each rival. The ratios of
// the first of ours are named after the rivals alone.
func compare(b *testing.B, n int, rivals, ours []*contender) {
	b.Helper()
	all := slices.Concat(rivals, ours)
	for b.Loop() {
		for _, c := range all {
			c.run(n)
			if b.Failed() {
				b.FailNow() // what is missing would be waited for
			}
		}
	}
	for _, c := range all {
		b.ReportMetric(c.watch.rate(), c.name+"/s")
	}
	for i, c := range ours {
		for _, r := range rivals {
			name := "x-" + r.name + r.target
			if i > 0 {
				name = c.name + "-x-" + r.name
			}
			b.ReportMetric(c.watch.rate()/r.watch.rate(), name)
		}
	}
	b.ReportMetric(0, "ns/op") // of a whole iteration, which says nothing
}

// share has workers call do until n jobs were done, for up to size at a time.
func share(b *testing.B, workers, n, size int, do func(n int) error) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for {
				first := int(next.Add(int64(size))) - size
				if first >= n {
					return
				}
				if err := do(min(size, n-first)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// spread has the producers do n jobs, one at a time each.
func spread(b *testing.B, n int, do func() error) {
	share(b, producers, n, 1, func(int) error { return do() })
}

// enqueue has the producers enqueue n jobs, each waiting for its own.
func enqueue[D batch.Driver](b *testing.B, q *batch.Queue[D], n int) {
	ctx := b.Context()
	spread(b, n, func() error { _, err := q.Enqueue(ctx, args); return err })
}

// enqueueMany has workers enqueue n jobs, size to a call.
func enqueueMany[D batch.Driver](b *testing.B, q *batch.Queue[D], workers, n, size int) {
	ctx := b.Context()
	requests := make([]batch.Request[D], size)
	for i := range requests {
		requests[i].Args = args
	}
	share(b, workers, n, size, func(n int) error {
		_, err := q.EnqueueMany(ctx, requests[:n])
		return err
	})
}

// fill gives a queue a backlog of n jobs.
func fill[D batch.Driver](b *testing.B, q *batch.Queue[D], n int) {
	b.Helper()
	enqueueMany(b, q, 1, n, 1000)
	if b.Failed() {
		b.FailNow()
	}
}

// newQueue makes a queue of the benchmark's own, and removes it and closes the
// driver at its end.
func newQueue[D batch.Driver](b *testing.B, d D) *batch.Queue[D] {
	b.Helper()
	b.Cleanup(func() { must(b, d.Close(context.Background())) })
	q := batch.NewQueue(d, fmt.Sprint("bench-", time.Now().UnixNano()))
	must(b, q.Declare(b.Context()))
	b.Cleanup(func() { must(b, q.Delete(context.Background())) })
	return q
}

// renew empties a queue.
func renew[D batch.Driver](b *testing.B, q *batch.Queue[D]) {
	b.Helper()
	must(b, q.Delete(b.Context()))
	must(b, q.Declare(b.Context()))
}

// handle starts a worker with a prefetch whose handler does nothing, and returns it
// when the handler was called n times.
func handle[D batch.Driver](b *testing.B, q *batch.Queue[D], n, prefetch int) *batch.Worker {
	b.Helper()
	w := newWorker(q, prefetch)
	var handled atomic.Int64
	done := make(chan struct{})
	batch.Handle(w, func(context.Context, *batch.Job[payload]) error {
		if handled.Add(1) == int64(n) {
			close(done)
		}
		return nil
	})
	must(b, w.Start(b.Context()))
	select {
	case <-done:
	case <-w.Failed():
		b.Fatal("the worker failed: ", w.Stop(b.Context()))
	}
	return w
}

func newWorker[D batch.Driver](q *batch.Queue[D], prefetch int) *batch.Worker {
	return batch.NewWorker(q.Driver(), batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: q.Name(), Concurrency: concurrency, Prefetch: prefetch}},
		Log:    slog.New(slog.DiscardHandler),
	})
}

// process has a worker with a prefetch drain a backlog of n jobs. The stop is part of it:
// the last settlements are confirmed then.
func process[D batch.Driver](b *testing.B, q *batch.Queue[D], n, prefetch int) {
	b.Helper()
	must(b, handle(b, q, n, prefetch).Stop(b.Context()))
}

// processing are the contenders that drain a backlog: batch with its defaults, and beside it
// with a prefetch that was chosen for the benchmark.
func processing[D batch.Driver](b *testing.B, q *batch.Queue[D], after func()) []*contender {
	of := func(name string, prefetch int) *contender {
		return &contender{
			name:   name,
			before: func() { fill(b, q, backlog) },
			round:  func() { process(b, q, backlog, prefetch) },
			after:  after,
		}
	}
	return []*contender{of("batch", adapted), of("exact", exact)}
}

// ms is a duration as a metric in milliseconds.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func percentile(all []time.Duration, p int) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[min(len(sorted)*p/100, len(sorted)-1)]
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}
