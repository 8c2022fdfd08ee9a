package idempotency_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// run is one delivery of a job to a handler behind a middleware.
func run(t *testing.T, m batch.Middleware, id string, h batch.Handler) error {
	t.Helper()
	return m(h)(t.Context(), &batch.JobInfo{ID: id, Headers: map[string]string{"Key": "from-" + id[:1]}})
}

// snoozed tells whether a handler's error brings the job back without an attempt.
func snoozed(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "snoozed") }

func TestOnce(t *testing.T) {
	m := idempotency.Middleware(idempotency.NewMemory(0))
	effects := 0
	h := func(context.Context, *batch.JobInfo) error { effects++; return nil }
	for range 3 {
		if err := run(t, m, "a", h); err != nil {
			t.Fatal(err)
		}
	}
	if err := run(t, m, "b", h); err != nil {
		t.Fatal(err)
	}
	if effects != 2 {
		t.Errorf("two jobs, one of them delivered three times, had %d effects", effects)
	}
}

func TestInProgress(t *testing.T) {
	m := idempotency.Middleware(idempotency.NewMemory(0), idempotency.Wait(123*time.Millisecond))
	nested := 0
	err := run(t, m, "a", func(context.Context, *batch.JobInfo) error {
		// The same job, delivered while it runs.
		err := run(t, m, "a", func(context.Context, *batch.JobInfo) error { nested++; return nil })
		if !snoozed(err) || !strings.Contains(err.Error(), "123ms") {
			t.Errorf("a job that is in progress elsewhere ended with %v", err)
		}
		return nil
	})
	if err != nil || nested != 0 {
		t.Errorf("the first run ended with %v, and the second ran %d times", err, nested)
	}
}

func TestFailure(t *testing.T) {
	store := idempotency.NewMemory(0)
	m := idempotency.Middleware(store)
	failure := batch.Permanent(errors.New("no"))
	if err := run(t, m, "a", func(context.Context, *batch.JobInfo) error { return failure }); err != failure {
		t.Errorf("the handler's error became %v", err)
	}
	if store.Len() != 0 {
		t.Error("a job that failed holds its key")
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the handler's panic was swallowed")
			}
		}()
		run(t, m, "a", func(context.Context, *batch.JobInfo) error { panic("at the disco") })
	}()
	if store.Len() != 0 {
		t.Error("a job that panicked holds its key")
	}
	ran := false
	if err := run(t, m, "a", func(context.Context, *batch.JobInfo) error { ran = true; return nil }); err != nil || !ran {
		t.Errorf("the retry ran: %t, error %v", ran, err)
	}
}

func TestKey(t *testing.T) {
	byHeader := idempotency.ByKey(func(job *batch.JobInfo) (string, error) { return job.Headers["Key"], nil })
	m := idempotency.Middleware(idempotency.NewMemory(0), byHeader)
	effects := 0
	h := func(ctx context.Context, _ *batch.JobInfo) error {
		if claim, ok := idempotency.ClaimOf(ctx); !ok || claim.Key != "from-a" || claim.Token == 0 || claim.Token != idempotency.Token(ctx) {
			t.Errorf("the claim of the handler is %+v, %t, its token %d", claim, ok, idempotency.Token(ctx))
		}
		effects++
		return nil
	}
	for _, id := range []string{"a1", "a2"} {
		if err := run(t, m, id, h); err != nil {
			t.Fatal(err)
		}
	}
	if effects != 1 {
		t.Errorf("two jobs with one key had %d effects", effects)
	}
	if _, ok := idempotency.ClaimOf(t.Context()); ok || idempotency.Token(t.Context()) != 0 {
		t.Error("a context outside of a handler has a claim")
	}
	for _, bad := range []func(*batch.JobInfo) (string, error){
		func(*batch.JobInfo) (string, error) { return "", nil },
		func(*batch.JobInfo) (string, error) { return "k", errors.New("no key") },
	} {
		err := run(t, idempotency.Middleware(idempotency.NewMemory(0), idempotency.ByKey(bad)), "a", h)
		if err == nil || snoozed(err) {
			t.Errorf("a job without a key ended with %v", err)
		}
	}
	if effects != 1 {
		t.Error("a job without a key ran")
	}
}

// A handler that runs for much longer than the claim's life keeps its key.
func TestRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := idempotency.Middleware(idempotency.NewMemory(0), idempotency.TTL(time.Second))
		finished := make(chan error)
		go func() {
			finished <- run(t, m, "a", func(ctx context.Context, _ *batch.JobInfo) error {
				time.Sleep(time.Hour)
				return context.Cause(ctx)
			})
		}()
		for range 100 {
			time.Sleep(30 * time.Second)
			if err := run(t, m, "a", func(context.Context, *batch.JobInfo) error { return nil }); !snoozed(err) {
				t.Fatalf("a job in progress ended elsewhere with %v", err)
			}
		}
		if err := <-finished; err != nil {
			t.Fatal(err)
		}
	})
}

// A process that dies in a handler blocks the job for the claim's life only.
func TestDeath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := idempotency.NewMemory(0)
		begin(t, store, "a", 30*time.Second, idempotency.Fresh) // and never again heard of
		m := idempotency.Middleware(store)
		ran := false
		h := func(context.Context, *batch.JobInfo) error { ran = true; return nil }
		time.Sleep(30*time.Second - 1)
		if err := run(t, m, "a", h); !snoozed(err) || ran {
			t.Fatalf("while the claim lives the job ran: %t, error %v", ran, err)
		}
		time.Sleep(1 * time.Nanosecond)
		if err := run(t, m, "a", h); err != nil || !ran {
			t.Fatalf("when the claim has expired the job ran: %t, error %v", ran, err)
		}
	})
}

// moody is a store that fails as it is told to.
type moody struct {
	idempotency.Store
	begin, extend, complete, abandon func() error
}

func ask(mood func() error) error {
	if mood == nil {
		return nil
	}
	return mood()
}

func (s *moody) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if err := ask(s.begin); err != nil {
		return idempotency.Claim{}, 0, err
	}
	return s.Store.Begin(ctx, key, ttl)
}

func (s *moody) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	if err := ask(s.extend); err != nil {
		return err
	}
	return s.Store.Extend(ctx, claim, ttl)
}

func (s *moody) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	if err := ask(s.complete); err != nil {
		return err
	}
	return s.Store.Complete(ctx, claim, retention)
}

func (s *moody) Abandon(ctx context.Context, claim idempotency.Claim) error {
	if err := ask(s.abandon); err != nil {
		return err
	}
	return s.Store.Abandon(ctx, claim)
}

var errStore = errors.New("the store is away")

func away() error { return errStore }

// A claim that cannot be renewed cancels the handler when its life is over, not
// before.
func TestLoss(t *testing.T) {
	for name, extend := range map[string]func() error{
		"the claim is lost": func() error { return idempotency.ErrLost },
		"the store is away": away,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &moody{Store: idempotency.NewMemory(0), extend: extend, complete: extend}
				m := idempotency.Middleware(store, idempotency.TTL(30*time.Second))
				start := time.Now()
				err := run(t, m, "a", func(ctx context.Context, _ *batch.JobInfo) error {
					<-ctx.Done()
					return context.Cause(ctx)
				})
				if !errors.Is(err, idempotency.ErrLost) {
					t.Errorf("the cause of the cancellation is %v", err)
				}
				want := 10 * time.Second // at the first renewal, or when all have failed
				if name == "the store is away" {
					want = 30 * time.Second
					if !errors.Is(err, errStore) {
						t.Errorf("the cause does not name the store's error: %v", err)
					}
				}
				if took := time.Since(start); took != want {
					t.Errorf("the handler was cancelled after %s, want %s", took, want)
				}
			})
		})
	}
}

// A handler that succeeded although its claim was lost does not decide what
// becomes of the job: it comes back to see what the other holder made of it.
func TestSuccessAfterLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &moody{Store: idempotency.NewMemory(0), extend: away}
		m := idempotency.Middleware(store, idempotency.TTL(time.Second))
		err := run(t, m, "a", func(context.Context, *batch.JobInfo) error {
			time.Sleep(time.Minute)
			begin(t, store.Store.(*idempotency.Memory), "a", time.Hour, idempotency.Fresh)
			return nil
		})
		if !snoozed(err) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestStoreAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := idempotency.NewMemory(0)
		handler := func(context.Context, *batch.JobInfo) error { return nil }

		never := func(context.Context, *batch.JobInfo) error { t.Error("it ran without a claim"); return nil }
		err := run(t, idempotency.Middleware(&moody{Store: memory, begin: away}), "a", never)
		if !errors.Is(err, errStore) {
			t.Errorf("a job that could not be claimed ended with %v", err)
		}

		// An answer that comes in time is waited for.
		tries := 0
		late := func() error {
			if tries++; tries < 4 {
				return errStore
			}
			return nil
		}
		if err := run(t, idempotency.Middleware(&moody{Store: memory, complete: late}), "b", handler); err != nil {
			t.Errorf("a job whose mark took %d tries ended with %v", tries, err)
		}
		begin(t, memory, "b", time.Hour, idempotency.Done)

		start := time.Now()
		err = run(t, idempotency.Middleware(&moody{Store: memory, complete: away}, idempotency.TTL(time.Minute)), "c", handler)
		if !errors.Is(err, errStore) || !strings.Contains(err.Error(), "succeeded") {
			t.Errorf("a job whose mark could not be made ended with %v", err)
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("the mark was tried for %s, want the claim's life", took)
		}

		failure := batch.Permanent(errors.New("no"))
		err = run(t, idempotency.Middleware(&moody{Store: memory, abandon: away}), "d", func(context.Context, *batch.JobInfo) error { return failure })
		if !errors.Is(err, failure) || !errors.Is(err, errStore) {
			t.Errorf("a job that failed and could not give up its key ended with %v", err)
		}
	})
}

func TestOptions(t *testing.T) {
	store := idempotency.NewMemory(0)
	for name, o := range map[string]idempotency.Option{
		"a nil key":         idempotency.ByKey(nil),
		"a short TTL":       idempotency.TTL(time.Millisecond),
		"a long TTL":        idempotency.TTL(25 * time.Hour),
		"a short retention": idempotency.Retention(time.Millisecond),
		"no wait":           idempotency.Wait(0),
		"the zero Option":   {},
	} {
		if m, err := idempotency.TryMiddleware(store, o); err == nil || m != nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := idempotency.TryMiddleware(nil); err == nil {
		t.Error("a nil store was taken")
	}
	if _, err := idempotency.TryMiddleware(store, idempotency.TTL(time.Second), idempotency.Retention(time.Hour), idempotency.Wait(time.Second)); err != nil {
		t.Error(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Middleware took a nil store")
		}
	}()
	idempotency.Middleware(nil)
}
