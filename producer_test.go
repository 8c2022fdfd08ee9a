package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// TestOneTimeoutForACall keeps the broker away, for each call that enqueues: the enqueue timeout bounds the whole call,
// whether the queue has to be declared or not, and however many jobs there are.
func TestOneTimeoutForACall(t *testing.T) {
	const timeout = 10 * time.Second
	many := make([]batch.Request[*scripted], 1000)
	for i := range many {
		many[i].Args = task{i}
	}
	calls := map[string]func(context.Context, *batch.Queue[*scripted]) error{
		"Enqueue": func(ctx context.Context, q *batch.Queue[*scripted]) error {
			_, err := q.Enqueue(ctx, task{})
			return err
		},
		"EnqueueMany": func(ctx context.Context, q *batch.Queue[*scripted]) error {
			_, err := q.EnqueueMany(ctx, many)
			return err
		},
		"EnqueueAtomic": func(ctx context.Context, q *batch.Queue[*scripted]) error {
			_, err := batch.EnqueueAtomic(ctx, q, many[:10])
			return err
		},
	}
	for name, call := range calls {
		for _, declared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/declared %v", name, declared), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newScripted()
					q := batch.NewQueue(d, "q", batch.WithEnqueueTimeout(timeout))
					if declared {
						if err := q.Declare(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					d.onDeclare = func(int) error { return unavailable(driver.FateNotStored) }
					d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
						results := make([]driver.Result, len(m))
						for i := range results {
							results[i].Err = unavailable(driver.FateNotStored)
						}
						return results, true
					}
					start := time.Now()
					err := call(t.Context(), q)
					if took := time.Since(start); took > timeout+time.Second {
						t.Errorf("the call took %s of a timeout of %s", took, timeout)
					}
					if !errors.Is(err, batch.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the error is %v, want one that says that the broker is away", err)
					}
					time.Sleep(time.Minute) // fake time: let the flush see that nobody waits
				})
			})
		}
	}
}

// TestManyErrorCounts mixes jobs of each fate in one call.
func TestManyErrorCounts(t *testing.T) {
	d := newScripted()
	d.onEnqueue = func(_ int, messages []*driver.Message) ([]driver.Result, bool) {
		results := make([]driver.Result, len(messages))
		for i, m := range messages {
			if strings.HasPrefix(m.ID, "full") {
				results[i].Err = &driver.Error{Driver: "scripted", Op: "enqueue", Kind: driver.ErrFull, Fate: driver.FateNotStored}
			}
			if strings.HasPrefix(m.ID, "lost") {
				results[i].Err = unavailable(driver.FateUnknown)
			}
		}
		return results, true
	}
	q := batch.NewQueue(d, "q")
	var requests []batch.Request[*scripted]
	for _, id := range []string{"a", "full1", "lost1", "b", "not valid", "lost2", "lost3", "full2"} {
		requests = append(requests, batch.Request[*scripted]{Args: task{}, Options: []batch.Option[*scripted]{batch.ID(q, id)}})
	}
	_, err := q.EnqueueMany(t.Context(), requests)
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Total != 8 || many.Unconfirmed != 6 || many.Refused != 1 || many.NotStored != 2 || many.MaybeStored != 3 {
		t.Fatalf("%+v", many)
	}
	if want := "6 of 8 jobs were not confirmed (1 refused, 2 not stored, 3 maybe stored)"; !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %q, want %q in it", err, want)
	}
}

// pairs is a hook that notes what started and what ended.
type pairs struct {
	mu             sync.Mutex
	started, ended []string
	fates          map[string]batch.Fate
}

func (p *pairs) OnEnqueueStart(ctx context.Context, e *batch.EnqueueStart) context.Context {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = append(p.started, e.ID)
	if e.ID == "header" {
		e.Headers["batch-mine"] = "refused"
	}
	return ctx
}

func (p *pairs) OnEnqueueEnd(_ context.Context, e batch.EnqueueEnd) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = append(p.ended, e.ID)
	if e.Err != nil {
		p.fates[e.ID] = e.Fate
	}
}

// TestEnqueueHooksArePairs has enqueues end in every way that there is: each start has exactly one end, with the job's
// fate.
func TestEnqueueHooksArePairs(t *testing.T) {
	d := newScripted()
	p := &pairs{fates: make(map[string]batch.Fate)}
	q := batch.NewQueue(d, "q", batch.WithHooks(p), batch.WithEnqueueTimeout(50*time.Millisecond))
	with := func(id string) batch.Option[*scripted] { return batch.ID(q, id) }
	enqueue := func(ctx context.Context, id string, args batch.Args, options ...batch.Option[*scripted]) {
		_, _ = q.Enqueue(ctx, args, append(options, with(id))...)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	request := func(id string, options ...batch.Option[*scripted]) batch.Request[*scripted] {
		return batch.Request[*scripted]{Args: task{}, Options: append(options, with(id))}
	}

	d.onDeclare = func(int) error { return unavailable(driver.FateNotStored) }
	enqueue(t.Context(), "undeclared", task{})
	_, _ = q.EnqueueMany(t.Context(), []batch.Request[*scripted]{request("undeclared-1"), request("undeclared-2")})
	_, _ = batch.EnqueueAtomic(t.Context(), q, []batch.Request[*scripted]{request("undeclared-3"), request("undeclared-4")})
	d.onDeclare = nil
	enqueue(ended, "ended", task{})
	enqueue(t.Context(), "stored", task{})
	enqueue(t.Context(), "header", task{})
	enqueue(t.Context(), "unencodable", unencodable{})
	large := batch.Header(q, "large", strings.Repeat("x", 1<<20))
	enqueue(t.Context(), "large", task{}, large)
	_, _ = q.EnqueueMany(t.Context(), []batch.Request[*scripted]{request("stored-1"), request("large-1", large), request("stored-2")})
	_, _ = batch.EnqueueAtomic(t.Context(), q, []batch.Request[*scripted]{request("beside-1"), request("beside-2"), request("large-2", large), request("never")})
	_, _ = batch.EnqueueAtomic(t.Context(), q, []batch.Request[*scripted]{request("stored-3"), request("stored-4")})
	d.onEnqueue = func(int, []*driver.Message) ([]driver.Result, bool) {
		return []driver.Result{{Err: unavailable(driver.FateUnknown)}}, true
	}
	enqueue(t.Context(), "lost", task{})

	slices.Sort(p.started)
	slices.Sort(p.ended)
	if !slices.Equal(p.started, p.ended) {
		t.Errorf("started: %q\nended:   %q", p.started, p.ended)
	}
	for id, fate := range p.fates {
		if want := map[bool]batch.Fate{true: batch.FateUnknown, false: batch.FateNotStored}[id == "lost"]; fate != want {
			t.Errorf("the fate of %s is %q, want %q", id, fate, want)
		}
	}
	if len(p.started) != 19 || len(p.fates) != 14 {
		t.Errorf("%d enqueues started, and %d failed: %q", len(p.started), len(p.fates), p.started)
	}
}

// unencodable is args that no codec can encode.
type unencodable struct{ C chan int }

func (unencodable) Kind() string { return "unencodable" }

func TestDelayWithAt(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "q")
	_, err := q.Enqueue(t.Context(), task{}, batch.Delay(q, time.Hour), batch.At(q, time.Now().Add(time.Minute)))
	if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "Delay with At") {
		t.Errorf("Delay and At together: %v, want ErrInvalid", err)
	}
	if _, err := q.Enqueue(t.Context(), task{}, batch.Delay(q, time.Hour), batch.Delay(q, time.Minute)); err != nil {
		t.Errorf("Delay twice, the last one counts: %v", err)
	}
	_, err = q.Enqueue(t.Context(), task{}, batch.At(q, time.Date(2999, 1, 2, 3, 4, 5, 0, time.UTC)))
	if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "At 2999-01-02T03:04:05Z") {
		t.Errorf("At beyond the driver's bound: %v, want the time in it", err)
	}
}
