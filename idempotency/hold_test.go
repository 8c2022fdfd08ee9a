package idempotency_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// slowStore is a store whose calls a test can make hang until their contexts end.
type slowStore struct {
	*idempotency.Memory
	hangs struct{ extend, complete, abandon atomic.Bool }
	// state, if it is set, is the answer of Begin.
	state                 *idempotency.State
	extending, completing atomic.Int64
}

func (s *slowStore) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if s.state != nil {
		return idempotency.Claim{}, *s.state, nil
	}
	return s.Memory.Begin(ctx, key, ttl)
}

func (s *slowStore) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	s.extending.Add(1)
	defer s.extending.Add(-1)
	if s.hangs.extend.Load() {
		<-ctx.Done()
		time.Sleep(time.Second) // and a little longer
		return ctx.Err()
	}
	return s.Memory.Extend(ctx, claim, ttl)
}

func (s *slowStore) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	s.completing.Add(1)
	if s.hangs.complete.Load() {
		return errors.New("not now")
	}
	return s.Memory.Complete(ctx, claim, retention)
}

func (s *slowStore) Abandon(ctx context.Context, claim idempotency.Claim) error {
	if s.hangs.abandon.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.Memory.Abandon(ctx, claim)
}

// with calls test in a bubble, with a store, a middleware on it with a TTL of ten seconds,
// and a job whose context ends by cancel.
func with(t *testing.T, test func(t *testing.T, s *slowStore, m batch.Middleware, ctx context.Context, cancel context.CancelFunc)) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{Memory: idempotency.NewMemory(0)}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		test(t, s, idempotency.Middleware(s, idempotency.TTL(10*time.Second), idempotency.Retention(time.Hour)), ctx, cancel)
	})
}

// A handler that works on after its context has ended keeps others out, and if it succeeds
// the key is done.
func TestHandlerOutlivesItsContext(t *testing.T) {
	with(t, func(t *testing.T, s *slowStore, m batch.Middleware, ctx context.Context, cancel context.CancelFunc) {
		err := m(func(context.Context, *batch.JobInfo) error {
			cancel()
			for range 5 {
				time.Sleep(8 * time.Second)
				if _, state, err := s.Memory.Begin(t.Context(), "a", time.Second); state != idempotency.InProgress {
					t.Errorf("the key is %s, %v while the handler works", state, err)
				}
			}
			return nil
		})(ctx, &batch.JobInfo{ID: "a"})
		if err != nil {
			t.Errorf("the job ended with %v", err)
		}
		time.Sleep(time.Hour - time.Second)
		if _, state, _ := s.Memory.Begin(t.Context(), "a", time.Second); state != idempotency.Done {
			t.Errorf("the key is %s before its retention is over, want done", state)
		}
		time.Sleep(2 * time.Second)
		if _, state, _ := s.Memory.Begin(t.Context(), "a", time.Second); state != idempotency.Fresh {
			t.Errorf("the key is %s after its retention, want fresh", state)
		}
	})
}

// A renewal that gets no answer ends with the claim, and cancels the handler. None is under
// way when the job has ended.
func TestRenewalThatHangs(t *testing.T) {
	with(t, func(t *testing.T, s *slowStore, m batch.Middleware, ctx context.Context, _ context.CancelFunc) {
		s.hangs.extend.Store(true)
		start := time.Now()
		err := m(func(ctx context.Context, _ *batch.JobInfo) error {
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), idempotency.ErrLost) {
				t.Errorf("cancelled with %v, want ErrLost", context.Cause(ctx))
			}
			if took := time.Since(start); took < 10*time.Second || took > 12*time.Second {
				t.Errorf("cancelled after %s, want the TTL of 10s", took)
			}
			return ctx.Err()
		})(ctx, &batch.JobInfo{ID: "a"})
		if err == nil {
			t.Error("the job ended without an error")
		}
		err = m(func(context.Context, *batch.JobInfo) error { time.Sleep(5 * time.Second); return nil })(ctx, &batch.JobInfo{ID: "b"})
		if n := s.extending.Load(); n != 0 || err != nil {
			t.Errorf("%d renewals under way after the job ended with %v", n, err)
		}
	})
}

// An answer of a store that is none, and a key that is empty, do not run the job.
func TestNoKeyNoRun(t *testing.T) {
	for _, state := range []idempotency.State{0, 9} {
		with(t, func(t *testing.T, s *slowStore, m batch.Middleware, ctx context.Context, _ context.CancelFunc) {
			s.state = &state
			err := m(func(context.Context, *batch.JobInfo) error { t.Error("it ran"); return nil })(ctx, &batch.JobInfo{ID: "a"})
			if err == nil || snoozed(err) {
				t.Errorf("the job ended with %v, want a failure", err)
			}
		})
	}
	with(t, func(t *testing.T, s *slowStore, _ batch.Middleware, ctx context.Context, _ context.CancelFunc) {
		fresh := idempotency.Fresh
		s.state = &fresh // a store that takes any key
		m := idempotency.Middleware(s, idempotency.ByKey(func(*batch.JobInfo) (string, error) { return "", nil }))
		if err := m(func(context.Context, *batch.JobInfo) error { t.Error("it ran"); return nil })(ctx, &batch.JobInfo{ID: "a"}); err == nil {
			t.Error("the job ended without an error")
		}
	})
}

// A store that does not take the mark is asked ever less often, and for the TTL; one that
// does not give a key up is not waited for any longer either.
func TestStoreThatHangsAtTheEnd(t *testing.T) {
	with(t, func(t *testing.T, s *slowStore, m batch.Middleware, ctx context.Context, _ context.CancelFunc) {
		s.hangs.complete.Store(true)
		start := time.Now()
		err := m(func(context.Context, *batch.JobInfo) error { return nil })(ctx, &batch.JobInfo{ID: "a"})
		if took, n := time.Since(start), s.completing.Load(); err == nil || took != 10*time.Second || n < 4 || n > 10 {
			t.Errorf("%v after %s and %d tries, want a failure after 10s and some", err, took, n)
		}
	})
	with(t, func(t *testing.T, s *slowStore, m batch.Middleware, ctx context.Context, _ context.CancelFunc) {
		s.hangs.abandon.Store(true)
		start := time.Now()
		failure := errors.New("no")
		err := m(func(context.Context, *batch.JobInfo) error { return failure })(ctx, &batch.JobInfo{ID: "a"})
		if took := time.Since(start); !errors.Is(err, failure) || took != 10*time.Second {
			t.Errorf("%v after %s, want the failure after 10s", err, took)
		}
	})
}
