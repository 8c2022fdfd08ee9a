package batch_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// A call with many jobs returns when the last of them has its answer, however many requests
// they take.
func TestEnqueueManyWaitsForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) {
			time.Sleep(time.Duration(n) * time.Second)
			return nil, false
		}
		q := batch.NewQueue(d, "tasks", batch.WithEnqueueTimeout(time.Hour))
		requests := make([]batch.Request[*scripted], 5000)
		for n := range requests {
			requests[n].Args = task{n}
		}
		results, err := q.EnqueueMany(t.Context(), requests)
		if left := depth(t, q); err != nil || left.Waiting != 5000 || d.enqueues < 2 {
			t.Errorf("%v with %+v stored in %d requests, want all", err, left, d.enqueues)
		}
		for n, r := range results {
			if r.ID == "" {
				t.Fatalf("job %d has no receipt", n)
			}
		}
	})
}

// A caller that gives up while its job is in a request that others share does not know what
// became of it.
func TestFateInASharedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		gates := []chan struct{}{make(chan struct{}), make(chan struct{})}
		d.onEnqueue = func(n int, _ []*driver.Message) ([]driver.Result, bool) { <-gates[n-1]; return nil, false }
		q := batch.NewQueue(d, "tasks")
		var all sync.WaitGroup
		all.Go(func() { _, _ = q.Enqueue(t.Context(), task{0}) })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			all.Go(func() {
				_, err := q.Enqueue(ctx, task{1})
				var failed *batch.EnqueueError
				if !errors.As(err, &failed) || failed.Fate != batch.FateUnknown || !errors.Is(err, context.Canceled) {
					t.Errorf("Enqueue = %v, want one that may be stored", err)
				}
			})
		}
		synctest.Wait()
		close(gates[0]) // the others are in the next request
		synctest.Wait()
		cancel()
		synctest.Wait()
		close(gates[1])
		all.Wait()
		synctest.Wait()
		if left := depth(t, q); left.Waiting != 4 {
			t.Errorf("left = %+v, want all four stored", left)
		}
	})
}

// An enqueue whose context has ended sends nothing, and says that nothing is stored.
func TestEnqueueAfterTheContext(t *testing.T) {
	d := newScripted()
	var calls atomic.Int64
	d.onEnqueue = func(int, []*driver.Message) ([]driver.Result, bool) { calls.Add(1); return nil, false }
	q := batch.NewQueue(d, "tasks")
	if err := q.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, one := q.Enqueue(ctx, task{})
	_, many := q.EnqueueMany(ctx, []batch.Request[*scripted]{{Args: task{}}, {Args: task{}}})
	_, atomic := batch.EnqueueAtomic(ctx, q, []batch.Request[*scripted]{{Args: task{}}, {Args: task{}}})
	for name, err := range map[string]error{"Enqueue": one, "EnqueueMany": many, "EnqueueAtomic": atomic} {
		var failed *batch.EnqueueError
		if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want one that is not stored", name, err)
		}
	}
	if n := calls.Load(); n != 0 {
		t.Errorf("%d requests were made", n)
	}
}

// A declaration that is refused is not tried again.
func TestDeclarationThatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onDeclare = func(int) error { return driver.ErrUnauthorized }
		q := batch.NewQueue(d, "tasks")
		start := time.Now()
		if _, err := q.Enqueue(t.Context(), task{}); !errors.Is(err, batch.ErrUnauthorized) || time.Since(start) != 0 || d.declares != 1 {
			t.Errorf("%v after %s and %d declarations, want it at once", err, time.Since(start), d.declares)
		}
	})
}

// What is too large together for one request is not sent as all or none.
func TestAtomicEnqueueIsWithinTheBytes(t *testing.T) {
	d := newScripted()
	d.limit = func(l *driver.Limits) { l.EnqueueBytes = l.MaxBody + l.MaxHeaders }
	q := batch.NewQueue(d, "tasks")
	half := strings.Repeat("x", d.Info().Limits.EnqueueBytes/3)
	requests := []batch.Request[*scripted]{{Args: bulky{Pad: half}}, {Args: bulky{Pad: half}}}
	if _, err := batch.EnqueueAtomic(t.Context(), q, requests); err != nil {
		t.Errorf("two thirds of the limit: %v", err)
	}
	requests = append(requests, requests[0])
	if _, err := batch.EnqueueAtomic(t.Context(), q, requests); !errors.Is(err, batch.ErrInvalid) || !errors.Is(err, batch.ErrTooLarge) {
		t.Errorf("more than the limit: %v, want ErrTooLarge before anything is sent", err)
	}
	if left := depth(t, q); left.Waiting != 2 {
		t.Errorf("left = %+v, want the first two", left)
	}
}

// A hook learns the fate of a job that the broker has refused.
func TestHooksLearnFates(t *testing.T) {
	d := newScripted()
	d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
		results := make([]driver.Result, len(m))
		for i, one := range m {
			results[i].Err = map[string]error{"full": full, "lost": unavailable(driver.FateUnknown)}[one.ID]
		}
		return results, true
	}
	p := &pairs{fates: make(map[string]batch.Fate)}
	q := batch.NewQueue(d, "tasks", batch.WithHooks(p))
	for _, id := range []string{"full", "lost", "stored"} {
		_, _ = q.Enqueue(t.Context(), task{}, batch.ID(q, id))
	}
	if len(p.fates) != 2 || p.fates["full"] != batch.FateNotStored || p.fates["lost"] != batch.FateUnknown {
		t.Errorf("fates %v, want full as not stored and lost as unknown", p.fates)
	}
}
