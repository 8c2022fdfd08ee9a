package nats

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
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

// TestRefusedInbox: requests that were under way when the server refused their answers may
// have been carried out, and none is sent after that.
func TestRefusedInbox(t *testing.T) {
	c := &connection{pending: make(map[uint64]*requests)}
	c.current.Store(&link{inbox: "_INBOX.x."})
	c.up.Store(true)
	r, err := c.requests(1, "batch.a.")
	if err != nil {
		t.Fatal(err)
	}
	refusal := func(what, subject string) {
		c.onError(fmt.Errorf("%w: Permissions Violation for %s to %q", natsgo.ErrPermissionViolation, what, subject))
	}
	refusal("Publish", "batch.ab.job")
	refusal("Subscription", "_INBOX.another")
	if r.over {
		t.Errorf("the refusal of something else ended it: %v", r.broken)
	}
	refusal("Subscription", "_INBOX.x.>")
	if err := r.wait(t.Context()); driver.FateOf(fail("enqueue", "a", err)) != driver.FateUnknown || !errors.Is(err, errForbidden) {
		t.Errorf("it ended with %v", err)
	}
	if _, err := c.requests(1, "batch.a."); driver.FateOf(fail("enqueue", "a", err)) != driver.FateNotStored || !errors.Is(err, errForbidden) {
		t.Errorf("another begins with %v", err)
	}
}

// TestRefusedBatch: an atomic batch of which a part is refused is not stored, whichever.
func TestRefusedBatch(t *testing.T) {
	entries := []entry{{subject: "batch.a.job"}, {subject: "batch.a.later.1"}, {subject: "batch.a.later.2"}}
	for _, subject := range []string{"batch.a.job", "batch.a.later.1", "batch.a.later.2", "batch.a.later.3"} {
		r := &requests{entries: entries, atomic: true, link: &link{}, done: make(chan struct{}), answers: make([]*natsgo.Msg, 2), left: 2}
		r.refuse(subject, errForbidden)
		if want := subject != "batch.a.later.3"; r.over != want {
			t.Errorf("%s: over is %t", subject, r.over)
		}
	}
}
