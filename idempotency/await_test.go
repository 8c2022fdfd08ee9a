package idempotency_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// waiting is what a second delivery does that waits in place while the first runs for a time.
type waiting struct {
	ran  bool
	took time.Duration
	err  error
}

// second runs a job for a time that ends with an error, and delivers it again meanwhile to a middleware that waits
// in place for up to an hour, with a context that ends after the time left, if that is not zero.
func second(t *testing.T, runs time.Duration, end error, most, left time.Duration) (w waiting) {
	store := idempotency.NewMemory(0)
	first := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = run(t, idempotency.Middleware(store), "a", func(context.Context, *batch.JobInfo) error {
			close(first)
			time.Sleep(runs)
			return end
		})
	}()
	<-first
	ctx := t.Context()
	if left > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, left)
		defer cancel()
	}
	start := time.Now()
	m := idempotency.Middleware(store, idempotency.WaitInPlace(most))
	w.err = m(func(context.Context, *batch.JobInfo) error {
		w.ran = true
		return nil
	})(ctx, &batch.JobInfo{ID: "a"})
	w.took = time.Since(start)
	<-ended
	return w
}

func TestWaitInPlace(t *testing.T) {
	failed := errors.New("failed")
	for _, test := range []struct {
		name             string
		runs, most, left time.Duration
		end              error
		ran, back        bool
		least, latest    time.Duration
	}{
		{"a short run that succeeds", 20 * time.Millisecond, time.Minute, 0, nil, false, false, 20 * time.Millisecond, 50 * time.Millisecond},
		{"a long run that succeeds", 20 * time.Minute, time.Hour, 0, nil, false, false, 20 * time.Minute, 20*time.Minute + 1500*time.Millisecond},
		{"a run that fails", 10 * time.Second, time.Minute, 0, failed, true, false, 10 * time.Second, 11500 * time.Millisecond},
		{"a run that takes too long", time.Hour, time.Minute, 0, nil, false, true, time.Minute, time.Minute},
		{"a context that ends", time.Hour, 30 * time.Minute, time.Second, nil, false, true, time.Second, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := second(t, test.runs, test.end, test.most, test.left)
				if w.ran != test.ran || snoozed(w.err) != test.back || !test.back && w.err != nil {
					t.Errorf("the second delivery ran: %t, and ended with %v", w.ran, w.err)
				}
				if w.took < test.least || w.took > test.latest {
					t.Errorf("the second delivery ended after %s, want %s to %s", w.took, test.least, test.latest)
				}
			})
		})
	}
}

// counting counts the calls of Begin, and fails those that it is told to.
type counting struct {
	idempotency.Store
	calls int
	fail  map[int]error
}

func (s *counting) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	s.calls++
	if err := s.fail[s.calls]; err != nil {
		return idempotency.Claim{}, 0, err
	}
	return s.Store.Begin(ctx, key, ttl)
}

// A wait of an hour asks the store some thousand times, and an error of the store ends it.
func TestWaitInPlaceAsksSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &counting{Store: idempotency.NewMemory(0)}
		if _, _, err := store.Begin(t.Context(), "a", 10*time.Hour); err != nil {
			t.Fatal(err)
		}
		m := idempotency.Middleware(store, idempotency.WaitInPlace(time.Hour))
		never := func(context.Context, *batch.JobInfo) error { t.Error("it ran"); return nil }
		if err := run(t, m, "a", never); !snoozed(err) {
			t.Errorf("the job ended with %v, want it to come back", err)
		}
		if store.calls < 2000 || store.calls > 3700 {
			t.Errorf("the store was asked %d times in an hour", store.calls)
		}
		store.fail = map[int]error{store.calls + 3: errStore}
		if err := run(t, m, "a", never); !errors.Is(err, errStore) {
			t.Errorf("the job ended with %v, want the store's error", err)
		}
	})
}

// A handler that completes its claim itself, in a transaction, is not disturbed by the renewal that finds it
// complete.
func TestCompleteInHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := idempotency.NewMemory(0)
		m := idempotency.Middleware(store, idempotency.TTL(3*time.Second), idempotency.Retention(time.Hour))
		err := run(t, m, "a", func(ctx context.Context, _ *batch.JobInfo) error {
			claim, _ := idempotency.ClaimOf(ctx)
			if kept := idempotency.RetentionOf(ctx); kept != time.Hour {
				t.Errorf("the retention of the handler is %s, want that of the middleware", kept)
			}
			if err := store.Complete(ctx, claim, idempotency.RetentionOf(ctx)); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				t.Errorf("the handler was cancelled: %v", context.Cause(ctx))
			case <-time.After(time.Minute):
			}
			return nil
		})
		if err != nil {
			t.Errorf("the job ended with %v", err)
		}
		begin(t, store, "a", time.Second, idempotency.Done)
	})
	if kept := idempotency.RetentionOf(t.Context()); kept != 0 {
		t.Errorf("outside of a handler the retention is %s", kept)
	}
}
