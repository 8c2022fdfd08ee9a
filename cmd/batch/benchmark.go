package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
)

// benchOptions say how much is measured.
type benchOptions struct {
	queue                  string
	jobs, size, batch      int
	producers, concurrency int
	single                 int
}

// check refuses numbers that are out of bounds.
func (o *benchOptions) check() error {
	for _, f := range []struct {
		name               string
		value, least, most int
	}{
		{"jobs", o.jobs, 1, 10_000_000},
		{"size", o.size, 20, 1 << 20},
		{"batch", o.batch, 1, 10_000},
		{"producers", o.producers, 1, 1000},
		{"concurrency", o.concurrency, 1, 10_000},
		{"single", o.single, 0, 100_000},
	} {
		if f.value < f.least || f.value > f.most {
			return usage("--%s is %d, and must be from %d to %d", f.name, f.value, f.least, f.most)
		}
	}
	return nil
}

// benchCleanup bounds the deletion of the queue, which is done also after Ctrl-C.
const benchCleanup = 30 * time.Second

// noop is a job that does nothing.
type noop struct {
	N    int    `json:"n"`
	Fill string `json:"fill"`
}

// Kind names the job.
func (noop) Kind() string { return "batch.bench" }

// fill is what makes a body as large as is wanted, beside the field names.
func fill(size int) string { return strings.Repeat("x", max(size-len(`{"n":1000000,"fill":""}`), 0)) }

// benchmark is one run of the measurements.
type benchmark struct {
	app     *app
	queue   *batch.Queue[batch.Driver]
	options benchOptions

	ran     atomic.Int64
	begun   sync.Once
	beganAt time.Time // when the first handler started, as begun has set it
	started chan int  // the numbers of single jobs, as their handlers start
}

// phaseRecord is one measurement. Latencies are in milliseconds.
type phaseRecord struct {
	Phase         string   `json:"phase"`
	Jobs          int64    `json:"jobs"`
	Seconds       float64  `json:"seconds"`
	JobsPerSecond float64  `json:"jobs_per_second"`
	P50           *float64 `json:"p50_ms,omitempty"`
	P99           *float64 `json:"p99_ms,omitempty"`
	Max           *float64 `json:"max_ms,omitempty"`
}

// phase makes a record.
func phase(name string, jobs int64, took time.Duration, latencies []time.Duration) phaseRecord {
	r := phaseRecord{Phase: name, Jobs: jobs, Seconds: took.Seconds(), JobsPerSecond: float64(jobs) / max(took.Seconds(), 1e-9)}
	if len(latencies) == 0 {
		return r
	}
	slices.Sort(latencies)
	at := func(share float64) *float64 {
		ms := float64(latencies[int(share*float64(len(latencies)-1))].Microseconds()) / 1000
		return &ms
	}
	r.P50, r.P99, r.Max = at(0.5), at(0.99), at(1)
	return r
}

// run measures one phase after the other, and prints what there is when ctx ends.
func (b *benchmark) run(ctx context.Context) error {
	var all []phaseRecord
	report := func(r phaseRecord) {
		if r.Jobs > 0 {
			all = append(all, r)
		}
	}
	enqueued, err := b.enqueue(ctx)
	report(enqueued)
	if err == nil {
		err = b.work(ctx, report)
	}
	return errors.Join(b.show(all), err)
}

// enqueue stores all jobs.
func (b *benchmark) enqueue(ctx context.Context) (phaseRecord, error) {
	o := b.options
	bar := b.app.progress("enqueueing", int64(o.jobs))
	defer bar.stop()
	var next, stored atomic.Int64
	var mu sync.Mutex // guards latencies and failed
	var latencies []time.Duration
	var failed error
	var producers sync.WaitGroup
	body, start := fill(o.size), time.Now()
	for range o.producers {
		producers.Go(func() {
			for {
				from := int(next.Add(int64(o.batch))) - o.batch
				size := min(o.batch, o.jobs-from)
				mu.Lock()
				ended := failed != nil
				mu.Unlock()
				if size <= 0 || ended {
					return
				}
				jobs := make([]noop, size)
				for i := range jobs {
					jobs[i] = noop{N: from + i, Fill: body}
				}
				began := time.Now()
				results, err := batch.EnqueueAll(ctx, b.queue, jobs)
				took := time.Since(began)
				for i := range results {
					if results[i].Err == nil {
						stored.Add(1)
					}
				}
				bar.set(stored.Load())
				mu.Lock()
				latencies, failed = append(latencies, took), errors.Join(failed, err)
				mu.Unlock()
			}
		})
	}
	producers.Wait()
	return phase("enqueue", stored.Load(), time.Since(start), latencies), failed
}

// work runs all jobs, and then single ones.
func (b *benchmark) work(ctx context.Context, report func(phaseRecord)) error {
	o := b.options
	w, err := batch.TryNewWorker(b.queue.Driver(), batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: b.queue.Name(), Concurrency: o.concurrency}},
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return err
	}
	all := make(chan struct{})
	batch.Handle(w, func(ctx context.Context, job *batch.Job[noop]) error {
		if job.Args.N < 0 {
			select {
			case b.started <- job.Args.N:
			case <-ctx.Done(): // nobody counts any more
			}
			return nil
		}
		b.begun.Do(func() { b.beganAt = time.Now() })
		if b.ran.Add(1) == int64(o.jobs) {
			close(all)
		}
		return nil
	})
	if err := w.Start(ctx); err != nil {
		return err
	}
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), benchCleanup)
		defer cancel()
		_ = w.Stop(stopping) // what it says of jobs is of no interest: the queue is deleted
	}()
	processed, err := b.process(ctx, w, all)
	report(processed)
	if err != nil || o.single == 0 {
		return err
	}
	return b.single(ctx, report)
}

// process waits until all jobs have run.
func (b *benchmark) process(ctx context.Context, w *batch.Worker, all <-chan struct{}) (phaseRecord, error) {
	bar := b.app.progress("processing", int64(b.options.jobs))
	defer bar.stop()
	look := time.NewTicker(drawEvery)
	defer look.Stop()
	var err error
	for done := false; !done && err == nil; {
		select {
		case <-all:
			done = true
		case <-look.C:
			bar.set(b.ran.Load())
		case <-ctx.Done():
			err = context.Cause(ctx)
		case <-w.Failed():
			err = errors.New("the worker failed: see what the broker says to batch doctor")
		}
	}
	end := time.Now()
	b.begun.Do(func() { b.beganAt = end })
	return phase("process", b.ran.Load(), end.Sub(b.beganAt), nil), err
}

// single sends one job after the other, each when the one before has started.
func (b *benchmark) single(ctx context.Context, report func(phaseRecord)) error {
	n := b.options.single
	bar := b.app.progress("sending single jobs", int64(n))
	defer bar.stop()
	var stored, started []time.Duration
	start := time.Now()
	defer func() {
		took := time.Since(start)
		report(phase("single enqueue", int64(len(stored)), took, stored))
		report(phase("single start", int64(len(started)), took, started))
	}()
	body := fill(b.options.size)
	for i := range n {
		sent := time.Now()
		if _, err := b.queue.Enqueue(ctx, noop{N: -1 - i, Fill: body}); err != nil {
			return err
		}
		stored = append(stored, time.Since(sent))
		for began := false; !began; {
			select {
			case id := <-b.started:
				began = id == -1-i // else it ran twice
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		started = append(started, time.Since(sent))
		bar.set(int64(i + 1))
	}
	return nil
}

// show prints the measurements.
func (b *benchmark) show(all []phaseRecord) error {
	if b.app.json {
		for _, r := range all {
			if err := b.app.print(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable("PHASE", ">JOBS", ">SECONDS", ">JOBS/S", ">P50 MS", ">P99 MS", ">MAX MS")
	for _, r := range all {
		t.add(text(r.Phase), number(int(r.Jobs)), decimal(&r.Seconds, 2), decimal(&r.JobsPerSecond, 0), decimal(r.P50, 2), decimal(r.P99, 2), decimal(r.Max, 2))
	}
	return b.app.show(t)
}

// decimal is the cell of a number, or of none.
func decimal(n *float64, digits int) cell {
	if n == nil {
		return text("")
	}
	return text(strconv.FormatFloat(*n, 'f', digits, 64))
}
