package nats

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// TestSilence: a flight whose questions fall under the table ends by itself, and
// one that is answered slowly does not.
func TestSilence(t *testing.T) {
	flightOf := func(n int) *flight {
		return &flight{done: make(chan struct{}), answers: make([]*natsgo.Msg, n), left: n}
	}
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f, began := flightOf(2), time.Now()
			f.await(t.Context())
			if took := time.Since(began); !errors.Is(f.broken, errSilent) || took < silence || took > 2*silence {
				t.Errorf("it ended after %s: %v", took, f.broken)
			}
		})
	})
	t.Run("slow answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := flightOf(5)
			go func() {
				for i := range f.answers {
					time.Sleep(silence - time.Second)
					f.mu.Lock()
					f.answers[i] = notSent
					f.count()
					f.mu.Unlock()
				}
			}()
			f.await(t.Context())
			if f.broken != nil || f.left > 0 {
				t.Errorf("%d answers are missing: %v", f.left, f.broken)
			}
		})
	})
	t.Run("ctx ends first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			f := flightOf(1)
			f.await(ctx)
			if !errors.Is(f.broken, context.DeadlineExceeded) {
				t.Errorf("it ended with %v", f.broken)
			}
		})
	})
}
