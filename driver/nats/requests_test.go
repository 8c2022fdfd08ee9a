package nats

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"
)

// TestSilence: requests that nobody answers end by themselves, and requests that
// are answered slowly do not.
func TestSilence(t *testing.T) {
	requestsOf := func(n int) *requests {
		return &requests{done: make(chan struct{}), answers: make([]*natsgo.Msg, n), left: n}
	}
	t.Run("no answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r, began := requestsOf(2), time.Now()
			r.await(t.Context())
			if took := time.Since(began); !errors.Is(r.broken, errSilent) || took < silence || took > 2*silence {
				t.Errorf("it ended after %s: %v", took, r.broken)
			}
		})
	})
	t.Run("slow answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := requestsOf(5)
			go func() {
				for i := range r.answers {
					time.Sleep(silence - time.Second)
					r.mu.Lock()
					r.answers[i] = unsent
					r.count()
					r.mu.Unlock()
				}
			}()
			r.await(t.Context())
			if r.broken != nil || r.left > 0 {
				t.Errorf("%d answers are missing: %v", r.left, r.broken)
			}
		})
	})
	t.Run("ctx ends first", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			r := requestsOf(1)
			r.await(ctx)
			if !errors.Is(r.broken, context.DeadlineExceeded) {
				t.Errorf("it ended with %v", r.broken)
			}
		})
	})
}

// TestCovers: a refusal is of the requests to its subject, and of no other queue's.
func TestCovers(t *testing.T) {
	for _, c := range []struct {
		scope, subject string
		want           bool
	}{
		{"batch.a.", "batch.a.job", true}, {"batch.a.", "batch.ab.job", false},
		{"$JS.API.STREAM.INFO.batch-a", "$JS.API.STREAM.INFO.batch-a", true},
		{"$JS.API.STREAM.INFO.batch-a", "$JS.API.STREAM.INFO.batch-ab", false},
	} {
		if got := (&requests{scope: c.scope}).covers(c.subject); got != c.want {
			t.Errorf("%s, %s: %t", c.scope, c.subject, got)
		}
	}
}
