package batch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
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

// fragile is an error whose methods panic, each if it is told to.
type fragile struct{ inError, inIs, inAs, inUnwrap bool }

func (e *fragile) Error() string {
	if e.inError { // on a nil pointer this panics, too
		panic("in Error")
	}
	return "fragile"
}

func (e *fragile) Is(error) bool {
	if e.inIs {
		panic("in Is")
	}
	return false
}

func (e *fragile) As(any) bool {
	if e.inAs {
		panic("in As")
	}
	return false
}

func (e *fragile) Unwrap() error {
	if e.inUnwrap {
		panic("in Unwrap")
	}
	return nil
}

// mine is what an application supplies to a worker, with something in it that panics or ends its goroutine.
type mine struct {
	name    string
	result  error                     // what the handler of a bad job returns
	change  func(*batch.WorkerConfig) // adds to the config
	options []batch.HandleOption      // of the handler
	reason  string                    // what the bad job's last error says
}

// bad jobs have an ID that begins with this word.
const badJob = "bad"

// TestApplicationPanics runs good jobs beside bad ones, for all that an application supplies: nothing of it ends the
// process, costs a slot, or leaves a permit or a lease behind.
func TestApplicationPanics(t *testing.T) {
	policy := batch.RetryFunc(func(int, error) time.Duration { panic("in Backoff") })
	for _, m := range []mine{
		{name: "a nil error", result: (*fragile)(nil), reason: "nil pointer"},
		{name: "Error", result: &fragile{inError: true}, reason: "in Error"},
		{name: "Is", result: &fragile{inIs: true}, reason: "fragile"},
		{name: "As", result: &fragile{inAs: true}, reason: "in As"},
		{name: "Unwrap", result: &fragile{inUnwrap: true}, reason: "in Unwrap"},
		{name: "a joined error", result: errors.Join(errors.New("fine"), &fragile{inError: true}), reason: "in Error"},
		{name: "policy", result: errors.New("failed"), change: func(c *batch.WorkerConfig) { c.RetryPolicy = policy }, reason: "in Backoff"},
		{name: "policy of the kind", result: errors.New("failed"), options: []batch.HandleOption{batch.HandleRetry(policy)}, reason: "in Backoff"},
	} {
		t.Run(m.name, func(t *testing.T) { synctest.Test(t, m.run) })
	}
}

// run works off ten good jobs and ten bad ones with two attempts each.
func (m mine) run(t *testing.T) {
	ctx := t.Context()
	d := memory.New()
	defer func() {
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	q := batch.NewQueue(d, "q")
	config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "q", Concurrency: 2, Prefetch: 2}}, MaxAttempts: 2, RetryPolicy: batch.ConstantBackoff(time.Second), Log: silent}
	if m.change != nil {
		m.change(&config)
	}
	w := batch.NewWorker(d, config)
	var done atomic.Int64
	batch.Handle(w, func(_ context.Context, job *batch.Job[task]) error {
		if strings.HasPrefix(job.ID, badJob) {
			return m.result
		}
		done.Add(1)
		return nil
	}, m.options...)
	const n = 10
	for i := range n {
		for _, kind := range []string{badJob, "good"} {
			if _, err := q.Enqueue(ctx, task{}, batch.ID(q, fmt.Sprint(kind, i))); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute) // of fake time
	depth, err := q.Depth(ctx)
	if err != nil || depth != (batch.Depth{Dead: n}) || done.Load() != n {
		t.Errorf("%d of %d good jobs ran, and the depth is %+v, %v; want %d dead and nothing else", done.Load(), n, depth, err, n)
	}
	letters, _, err := q.DeadLetters().List(ctx, "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if l.Reason != "max-attempts" || l.Failures != 2 || !strings.Contains(l.LastError, m.reason) {
			t.Errorf("%s is dead for %s after %d failures, of %q; want two failures and %q", l.ID, l.Reason, l.Failures, l.LastError, m.reason)
		}
	}
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// rude is a hook that does something at one moment, and a log handler that does.
type rude struct {
	at string
	do func()
	mu sync.Mutex
	n  int
}

func (h *rude) act(at string) {
	if h.at == at {
		h.mu.Lock()
		h.n++
		h.mu.Unlock()
		h.do()
	}
}

func (h *rude) OnJobStart(context.Context, *batch.JobInfo) context.Context {
	h.act("job start")
	return nil
}

func (h *rude) OnEnqueueEnd(context.Context, batch.EnqueueEnd)            { h.act("enqueue end") }
func (h *rude) OnCall(context.Context, batch.Call)                        { h.act("call") }
func (h *rude) OnJobEnd(context.Context, batch.JobEnd)                    { h.act("job end") }
func (h *rude) OnJobStuck(context.Context, *batch.JobInfo, time.Duration) { h.act("job stuck") }
func (h *rude) OnSuspect(context.Context, batch.Suspect)                  { h.act("suspect") }
func (h *rude) OnLeaseLost(context.Context, batch.LeaseLost)              { h.act("lease lost") }
func (h *rude) OnFault(context.Context, batch.Fault)                      { h.act("fault") }
func (h *rude) OnWorkerState(context.Context, batch.WorkerStatus)         { h.act("worker state") }
func (h *rude) Enabled(context.Context, slog.Level) bool                  { return true }
func (h *rude) Handle(context.Context, slog.Record) error                 { h.act("log"); return nil }
func (h *rude) WithAttrs([]slog.Attr) slog.Handler                        { return h }
func (h *rude) WithGroup(string) slog.Handler                             { return h }

// TestRudeHooks has a hook panic, and then end its goroutine, at every moment that there is: all jobs are done and
// settled nevertheless.
func TestRudeHooks(t *testing.T) {
	before := slog.Default()
	slog.SetDefault(slog.New(slog.DiscardHandler))
	defer slog.SetDefault(before)
	for _, at := range []string{"enqueue end", "job start", "job end", "job stuck", "lease lost", "fault", "call", "worker state", "log"} {
		for name, do := range map[string]func(){"panic": func() { panic("rude") }, "Goexit": runtime.Goexit} {
			if name == "Goexit" && at == "enqueue end" {
				continue // it is the caller's own goroutine that ends
			}
			t.Run(at+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { rudeHook(t, &rude{at: at, do: do}, name) })
			})
		}
	}
}

// rudeHook makes every moment come, with other jobs before and after.
func rudeHook(t *testing.T, h *rude, name string) {
	ctx := t.Context()
	d := newScripted()
	defer func() {
		if err := d.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	d.onReceive = func(call int) error {
		if call == 2 {
			return errors.New("no answer")
		}
		return nil
	}
	q := batch.NewQueue(d, "q", batch.WithHooks(h))
	log := silent
	if h.at == "log" {
		log = slog.New(h)
	}
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "q", Concurrency: 2, Prefetch: 2, Lease: 30 * time.Second}},
		Hooks:  []batch.Hook{h}, Log: log, RetryPolicy: batch.ConstantBackoff(time.Second), Timeout: time.Minute, StuckAfter: time.Second,
	})
	var runs sync.Map
	stuck := make(chan struct{})
	batch.Handle(w, func(_ context.Context, job *batch.Job[task]) error {
		n, _ := runs.LoadOrStore(job.ID, new(atomic.Int64))
		if n.(*atomic.Int64).Add(1) == 1 && job.ID == "stuck" {
			<-stuck
		}
		return nil
	})
	d.onExtend = func(call int, held []*driver.Delivery) []error {
		if call > 1 {
			return nil // extended
		}
		errs := make([]error, len(held))
		errs[0] = driver.ErrLeaseLost
		return errs
	}
	for i := range 10 {
		if _, err := q.Enqueue(ctx, task{}, batch.ID(q, fmt.Sprint("job", i))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Enqueue(ctx, task{}, batch.ID(q, "stuck")); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	close(stuck)
	for i := range 10 {
		if _, err := q.Enqueue(ctx, task{}, batch.ID(q, fmt.Sprint("late", i))); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Hour)
	want := batch.Depth{}
	if name == "Goexit" && (h.at == "job start" || h.at == "log") {
		want.Dead = 21 // the handler's own goroutine ended, every time
	}
	if depth, err := q.Depth(ctx); err != nil || depth != want {
		t.Errorf("the depth is %+v, %v; want %+v", depth, err, want)
	}
	if err := w.Stop(ctx); err != nil {
		t.Error(err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.n == 0 {
		t.Errorf("the hook was never called at %q", h.at)
	}
}

// TestMiddlewareThatIsNotFit has the start fail, and the worker stop.
func TestMiddlewareThatIsNotFit(t *testing.T) {
	for name, m := range map[string]batch.Middleware{
		"panics":      func(batch.Handler) batch.Handler { panic("in middleware") },
		"has no next": func(batch.Handler) batch.Handler { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.Middleware = []batch.Middleware{m} })
			batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
			err := r.worker.Start(t.Context())
			if err == nil || !strings.Contains(err.Error(), "middleware 1 around kind task") {
				t.Errorf("Start: %v", err)
			}
			select {
			case <-r.worker.Failed():
			default:
				t.Error("the worker has not failed")
			}
			r.stop(t)
		})
	}
}

// panicky is a codec that panics when it encodes.
type panicky struct{ batch.JSON }

func (panicky) Encode(any) ([]byte, error) { panic("in Encode") }

// starter is a hook that panics when an enqueue starts.
type starter struct{}

func (starter) OnEnqueueStart(context.Context, *batch.EnqueueStart) context.Context {
	panic("in OnEnqueueStart")
}

// TestEnqueuePanics has a panic of what the application supplies be the enqueue's error, and leave the queue fit.
func TestEnqueuePanics(t *testing.T) {
	d := memory.New()
	for word, option := range map[string]batch.QueueOption{"in Encode": batch.WithCodec(panicky{}), "in OnEnqueueStart": batch.WithHooks(starter{})} {
		q := batch.NewQueue(d, "q", option)
		_, err := q.Enqueue(t.Context(), task{})
		var panicked *batch.PanicError
		if !errors.As(err, &panicked) || !strings.Contains(err.Error(), word) {
			t.Errorf("Enqueue: %v, want a PanicError that says %q", err, word)
		}
	}
	if _, err := batch.NewQueue(d, "q").Enqueue(t.Context(), task{}); err != nil {
		t.Error(err)
	}
}
