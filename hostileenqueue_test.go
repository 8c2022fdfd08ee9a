package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// badEncoder is a codec that returns a hostile error for some jobs.
type badEncoder struct {
	batch.JSON
	err error
}

func (c badEncoder) Encode(args any) ([]byte, error) {
	if args.(task).N == 666 {
		return nil, c.err
	}
	return c.JSON.Encode(args)
}

// The errors of a codec and of a middleware may be as hostile as those of a handler: the other jobs have their results
// nevertheless.
func TestEnqueueWithHostileErrors(t *testing.T) {
	for name, hostile := range map[string]error{"nil pointer": (*fragile)(nil), "Unwrap": &fragile{inUnwrap: true}, "As": &fragile{inAs: true}, "Error": &fragile{inError: true}} {
		answer := func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				results := next(ctx, jobs)
				results[1] = batch.Result{Err: hostile}
				return results
			}
		}
		for where, option := range map[string]batch.QueueOption{"codec": batch.WithCodec(badEncoder{err: hostile}), "middleware": batch.WithEnqueueMiddleware(answer)} {
			t.Run(name+"/"+where, func(t *testing.T) {
				q := batch.NewQueue(memory.New(), "q", option)
				results, err := batch.EnqueueAll(t.Context(), q, []task{{1}, {666}, {2}})
				if len(results) != 3 || results[0].Err != nil || results[1].Err == nil || results[2].Err != nil {
					t.Fatalf("results %+v", results)
				}
				if errors.Is(err, errors.New("other")) || err.Error() == "" {
					t.Error("this is no error")
				}
				if _, err := q.Enqueue(t.Context(), task{666}); where == "codec" && (err == nil || errors.Is(err, errors.ErrUnsupported)) {
					t.Error(err)
				}
			})
		}
	}
}

// Middleware may call next for parts of a call, at the same time.
func TestEnqueueMiddlewareInParallel(t *testing.T) {
	parallel := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			results := make([]batch.Result, len(jobs))
			var all sync.WaitGroup
			for i := range jobs {
				all.Go(func() { results[i] = next(ctx, jobs[i:i+1])[0] })
			}
			all.Wait()
			return results
		}
	}
	var pairs pairing
	q := batch.NewQueue(memory.New(), "q", batch.WithEnqueueMiddleware(parallel), batch.WithHooks(&pairs))
	if _, err := batch.EnqueueAll(t.Context(), q, make([]task, 20)); err != nil {
		t.Fatal(err)
	}
	if d := depth(t, q); d.Waiting != 20 {
		t.Errorf("depth %+v", d)
	}
	pairs.check(t, 20)
}

// A middleware that gathers jobs of several calls must not have one sent in another's place.
func TestEnqueueMiddlewareThatMixesCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type call struct {
			jobs    []*batch.EnqueueJob
			results chan []batch.Result
		}
		var mu sync.Mutex
		var first *call
		gather := func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				mu.Lock()
				if first == nil {
					first = &call{jobs, make(chan []batch.Result)}
					mu.Unlock()
					return <-first.results
				}
				mu.Unlock()
				results := next(ctx, append(slices.Clone(first.jobs), jobs...))
				first.results <- results[:1]
				return results[1:]
			}
		}
		q := batch.NewQueue(memory.New(), "q", batch.WithEnqueueMiddleware(gather))
		errs := make(chan error)
		for n := range 2 {
			go func() {
				_, err := q.Enqueue(context.Background(), task{n}, batch.ID(q, []string{"a", "b"}[n]))
				errs <- err
			}()
			synctest.Wait()
		}
		failed := 0
		for range 2 {
			if err := <-errs; err != nil {
				t.Log(err)
				failed++
			}
		}
		jobs, _, err := batch.ListJobs(t.Context(), q, batch.StateWaiting, "", 10)
		if failed == 2 && errors.Is(err, batch.ErrNotFound) {
			return // nothing was sent
		}
		if err != nil || len(jobs)+failed < 2 || len(jobs) == 2 && jobs[0].ID == jobs[1].ID {
			t.Errorf("%d failed, and the queue has %+v", failed, jobs)
		}
	})
}

// pairing checks that each start has one end, and that the end has the context of its start.
type pairing struct {
	starts, ends, strange atomic.Int64
}

type pairKey struct{}

func (p *pairing) OnEnqueueStart(ctx context.Context, e *batch.EnqueueStart) context.Context {
	p.starts.Add(1)
	return context.WithValue(ctx, pairKey{}, e.ID)
}

func (p *pairing) OnEnqueueEnd(ctx context.Context, e batch.EnqueueEnd) {
	p.ends.Add(1)
	if ctx.Value(pairKey{}) != e.ID || (e.Err == nil) != (e.Fate == 0) {
		p.strange.Add(1)
	}
}

func (p *pairing) check(t *testing.T, want int64) {
	t.Helper()
	if s, e, x := p.starts.Load(), p.ends.Load(), p.strange.Load(); s != want || e != want || x != 0 {
		t.Errorf("%d starts, %d ends, %d strange; want %d pairs", s, e, x, want)
	}
	p.starts.Store(0)
	p.ends.Store(0)
}

// Every way to enqueue has pairs, with each kind of middleware.
func TestPairsOnEveryWay(t *testing.T) {
	twice := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			next(ctx, jobs)
			return next(ctx, jobs)
		}
	}
	never := func(batch.Enqueuer) batch.Enqueuer {
		return func(_ context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			return make([]batch.Result, len(jobs))
		}
	}
	some := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			return append(next(ctx, jobs[:1]), make([]batch.Result, len(jobs)-1)...)
		}
	}
	panics := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result { next(ctx, jobs); panic("after") }
	}
	short := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result { next(ctx, jobs); return nil }
	}
	header := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			jobs[0].Headers = map[string]string{"batch-x": "reserved"}
			return next(ctx, jobs)
		}
	}
	for _, tt := range []struct {
		name       string
		middleware []batch.EnqueueMiddleware
		one, many  int64 // pairs of one job, and of three
	}{
		{"none", nil, 1, 3},
		{"twice", []batch.EnqueueMiddleware{twice}, 2, 6},
		{"never", []batch.EnqueueMiddleware{never}, 0, 0},
		{"some", []batch.EnqueueMiddleware{some}, 1, 1},
		{"twice twice", []batch.EnqueueMiddleware{twice, twice}, 4, 12},
		{"panics", []batch.EnqueueMiddleware{panics}, 1, 3},
		{"short", []batch.EnqueueMiddleware{short}, 1, 3},
		{"header", []batch.EnqueueMiddleware{header}, 0, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var pairs pairing
			q := batch.NewQueue(newScripted(), "q", batch.WithHooks(&pairs), batch.WithEnqueueMiddleware(tt.middleware...), batch.WithEnqueueTimeout(time.Second))
			ctx := t.Context()
			_, err := q.Enqueue(ctx, task{})
			pairs.check(t, tt.one)
			t.Log(err)
			_, err = batch.EnqueueAll(ctx, q, make([]task, 3))
			pairs.check(t, tt.many)
			t.Log(err)
			p, err := q.Prepare(ctx, task{})
			if err != nil {
				t.Fatal(err)
			}
			pairs.check(t, 0)
			_, _ = q.EnqueuePrepared(ctx, p, p, p)
			pairs.check(t, tt.many)
			requests := make([]batch.Request[*scripted], 3)
			for i := range requests {
				requests[i].Args = task{i}
			}
			_, err = batch.EnqueueAtomic(ctx, q, requests)
			if tt.name != "header" {
				pairs.check(t, tt.many)
			} else {
				pairs.starts.Store(0)
				pairs.ends.Store(0)
			}
			t.Log(err)
			ended, cancel := context.WithCancel(ctx)
			cancel()
			_, _ = batch.EnqueueAll(ended, q, make([]task, 3))
			pairs.check(t, tt.many)
			_, _ = batch.EnqueueAtomic(ended, q, requests)
			if tt.name != "header" {
				pairs.check(t, tt.many)
			}
		})
	}
}

// A prepared job that is a field, and not a pointer, is stored too.
func TestPreparedByValue(t *testing.T) {
	q := batch.NewQueue(memory.New(), "q")
	p, err := q.Prepare(t.Context(), task{7})
	if err != nil {
		t.Fatal(err)
	}
	row := struct{ Job batch.Prepared }{*p}
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Job batch.Prepared }
	if err := json.Unmarshal(text, &back); err != nil || back.Job.ID() != p.ID() {
		t.Errorf("%s comes back as %+v, %v", text, back.Job, err)
	}
	if text, err := json.Marshal((*batch.Prepared)(nil)); string(text) != "null" || err != nil {
		t.Errorf("nil: %s, %v", text, err)
	}
}

// What is out of bounds in the stored form is refused when it is read.
func TestPreparedFromHostileJSON(t *testing.T) {
	form := func(more string) string {
		return `{"version":1,"id":"x","kind":"task","content_type":"application/json","enqueued_at":"2026-01-01T00:00:00Z"` + more + `}`
	}
	var ok batch.Prepared
	if err := json.Unmarshal([]byte(form("")), &ok); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		form(`,"timeout_ms":18446744073710`),                               // overflows to a valid one
		form(`,"timeout_ms":-1`), form(`,"timeout_ms":288230376151711744`), // overflows to zero
		form(`,"unique_within_ms":-5000,"unique_key":"k"`),
		form(`,"unique_within_ms":5000`),
		form(`,"unique_within_ms":288230376151711744,"unique_key":"k"`),
		form(`,"max_attempts":-1`), form(`,"level":200`), form(`,"level":"urgent"`),
		form(`,"headers":{"batch-x":""}`), form(`,"headers":{"":""}`), form(`,"group":"a b"`),
		form(`,"group":"g","due_at":"2027-01-01T00:00:00Z"`),
		form(`} {`), `null`, `{}`, `[]`, `""`, form(`,"extra":1`),
	} {
		var p batch.Prepared
		if err := p.UnmarshalJSON([]byte(text)); !errors.Is(err, batch.ErrInvalid) || p.ID() != "" {
			t.Errorf("%s: %v", text, err)
		}
	}
	var far batch.Prepared
	if err := json.Unmarshal([]byte(form(`,"due_at":"9999-01-01T00:00:00Z"`)), &far); err != nil {
		t.Fatal(err)
	}
	q := batch.NewQueue(memory.New(), "q")
	results, err := q.EnqueuePrepared(t.Context(), &far)
	if !errors.Is(err, batch.ErrInvalid) || strings.Contains(results[0].Err.Error(), "2562047h") || !strings.Contains(results[0].Err.Error(), "9999") {
		t.Errorf("far: %v", err)
	}
}

// An import has one bound for a broker that does not answer, as many enqueues have.
func TestImportDoesNotMultiplyItsTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &deaf{memory.New()}
		q := batch.NewQueue(d, "q", batch.WithEnqueueTimeout(10*time.Second))
		n := 5 * d.Info().Limits.EnqueueBatch
		entries := make([]batch.Entry, n)
		for i := range entries {
			entries[i] = batch.Entry{State: batch.StateWaiting, Message: driver.Message{ID: "x", Kind: "task", ContentType: "application/json", EnqueuedAt: time.Now()}}
		}
		start := time.Now()
		_, err := batch.Import(t.Context(), q, entries)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("took %s for %d entries: %v", took, n, err)
		}
	})
}

// deaf is a broker that does not answer an import.
type deaf struct{ *memory.Driver }

func (d *deaf) Import(ctx context.Context, _ string, entries []*driver.Entry) []driver.Result {
	<-ctx.Done()
	return sameResult(make([]*driver.Message, len(entries)), ctx.Err())
}

// A codec without a content type is a mistake like any other.
func TestCodecThatPanics(t *testing.T) {
	for _, codec := range []batch.Codec{untyped{}, (*untyped)(nil)} {
		if _, err := batch.TryNewQueue(memory.New(), "q", batch.WithCodec(codec)); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("TryNewQueue: %v", err)
		}
		config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "q"}}, Codecs: []batch.Codec{codec}}
		if _, err := batch.TryNewWorker(memory.New(), config); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("TryNewWorker: %v", err)
		}
	}
}

type untyped struct{ batch.JSON }

func (untyped) ContentType() string { panic("in ContentType") }

// If a middleware divides an atomic call and some of it fails, nobody is told that nothing was stored.
func TestAtomicCallThatAMiddlewareDivides(t *testing.T) {
	divide := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			results := next(ctx, jobs[:1])
			jobs[1].Headers = map[string]string{"batch-x": "reserved"}
			return append(results, next(ctx, jobs[1:])...)
		}
	}
	q := batch.NewQueue(memory.New(), "q", batch.WithEnqueueMiddleware(divide))
	_, err := batch.EnqueueAtomic(t.Context(), q, []batch.Request[*memory.Driver]{{Args: task{1}}, {Args: task{2}}})
	var failed *batch.EnqueueError
	if !errors.As(err, &failed) || failed.Fate != batch.FateUnknown || !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("EnqueueAtomic: %v, want an unknown fate", err)
	}
}

// slowAnswers is a broker whose answers take long to arrive.
type slowAnswers struct{ *memory.Driver }

func (d slowAnswers) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	results := d.Driver.Import(ctx, queue, entries)
	time.Sleep(4500 * time.Millisecond) // fake time
	return results
}

func (d slowAnswers) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	select {
	case <-time.After(time.Second):
		return d.Driver.Discard(ctx, queue, which)
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// A job that is redriven with another body and dies again at once is not discarded with the old dead letter.
func TestRedriveWithBodyOnASlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, slowAnswers{memory.New()}, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return batch.Permanent(errors.New("no")) })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		synctest.Wait()
		letters, _, err := r.queue.DeadLetters().List(t.Context(), "", 10)
		if err != nil || len(letters) != 1 {
			t.Fatal(letters, err)
		}
		err = batch.RedriveWithBody(t.Context(), r.queue, letters[0], []byte(`{"N":1}`))
		time.Sleep(time.Minute)
		if left := depth(t, r.queue); left.Dead == 0 {
			t.Errorf("RedriveWithBody = %v, and the job is gone: %+v", err, left)
		}
		r.stop(t)
	})
}

// The history of an imported job is bounded as that of a job which a worker has settled.
func TestImportOfAHostileHistory(t *testing.T) {
	q := batch.NewQueue(memory.New(), "q")
	entry := func(change func(*batch.Entry)) batch.Entry {
		e := batch.Entry{State: batch.StateDead, Message: driver.Message{ID: "x", Kind: "task", ContentType: "application/json", EnqueuedAt: time.Now()}}
		change(&e)
		return e
	}
	results, _ := batch.Import(t.Context(), q, []batch.Entry{
		entry(func(e *batch.Entry) { e.Failures = math.MaxInt }),
		entry(func(e *batch.Entry) { e.Bounces = -1 }),
		entry(func(e *batch.Entry) { e.Reason = strings.Repeat("x", 1000) }),
		entry(func(e *batch.Entry) { e.Reason = "a\nb" }),
		entry(func(e *batch.Entry) { e.LastError = strings.Repeat("\xff", 100_000) }),
	})
	for i, r := range results[:4] {
		if !errors.Is(r.Err, batch.ErrInvalid) {
			t.Errorf("entry %d: %v", i+1, r.Err)
		}
	}
	letters, _, err := q.DeadLetters().List(t.Context(), "", 10)
	if err != nil || len(letters) != 1 || len(letters[0].LastError) > 2048 {
		t.Errorf("%d dead letters, %v", len(letters), err)
	}
}

// A middleware may filter the list that it was given in place.
func TestEnqueueMiddlewareThatFiltersInPlace(t *testing.T) {
	refused := errors.New("refused")
	filter := func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			first := jobs[0].ID
			rest := slices.DeleteFunc(jobs, func(job *batch.EnqueueJob) bool { return job.ID == first })
			return append([]batch.Result{{Err: refused}}, next(ctx, rest)...)
		}
	}
	q := batch.NewQueue(memory.New(), "q", batch.WithEnqueueMiddleware(filter))
	var requests []batch.Request[*memory.Driver]
	for _, id := range []string{"a", "b", "c"} {
		requests = append(requests, batch.Request[*memory.Driver]{Args: task{}, Options: []batch.Option[*memory.Driver]{batch.ID(q, id)}})
	}
	results, _ := q.EnqueueMany(t.Context(), requests)
	if !errors.Is(results[0].Err, refused) || results[1].ID != "b" || results[2].ID != "c" {
		t.Errorf("results %+v", results)
	}
}
