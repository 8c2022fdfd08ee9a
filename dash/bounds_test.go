package dash

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// stuck is a broker whose dead letters can be neither read nor moved: a call ends with its context.
type stuck struct {
	driver.Driver
	reads, together atomic.Int32 // under way, and at most
}

func (s *stuck) DeadLetters(ctx context.Context, _, _ string, _ int) ([]driver.DeadLetter, string, error) {
	s.together.Store(max(s.together.Load(), s.reads.Add(1)))
	defer s.reads.Add(-1)
	<-ctx.Done()
	return nil, "", ctx.Err()
}

func (*stuck) Redrive(ctx context.Context, _ string, _ driver.Selection) (int, error) {
	<-ctx.Done()
	return 1, ctx.Err()
}

// openStuck makes a handler on such a broker, on which reading is costly.
func openStuck(t *testing.T) (*app, *stuck) {
	d := memory.New()
	three(t, d)
	c := acting()
	c.Queues, c.Timeout, c.ActionTimeout = []string{"emails"}, 2*time.Second, 5*time.Second
	s := &stuck{Driver: portable{d}}
	return openApp(t, s, c), s
}

// A page waits for the broker as long as it may, and then has what is known.
func TestReadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := openStuck(t)
		begun := time.Now()
		a.want(a.get("queues/emails/dead?read=1"), http.StatusServiceUnavailable, "did not answer in time", "3 by the last count")
		if took := time.Since(begun); took != 2*time.Second {
			t.Errorf("the page took %s, want 2s", took)
		}
	})
}

// Where each read takes all dead letters, one is done at a time; another waits for its turn, but not for ever.
func TestCostlyReadsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, s := openStuck(t)
		var pages sync.WaitGroup
		codes := make(chan page, 3)
		for range 3 {
			pages.Go(func() { codes <- a.get("queues/emails/dead?read=1") })
		}
		pages.Wait()
		close(codes)
		for p := range codes {
			a.want(p, http.StatusServiceUnavailable, "3 by the last count")
		}
		a.want(a.get("queues/emails"), http.StatusOK, "3</a>")
		if n := s.together.Load(); n != 1 {
			t.Errorf("%d reads at the same time", n)
		}
	})
}

// An action that takes too long says what was done by then.
func TestActionIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := openStuck(t)
		begun := time.Now()
		a.want(a.post("queues/emails/redrive", url.Values{"which": {"all"}}), http.StatusServiceUnavailable,
			"1 of 3 dead letters of queue emails redriven, and perhaps some that were under way", "did not answer in time")
		if took := time.Since(begun); took < 5*time.Second || took > 6*time.Second {
			t.Errorf("the action took %s, want 5s", took)
		}
	})
}

// Closing the handler cuts an action off, and what was done is still told.
func TestCloseCutsActionsOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := openStuck(t)
		a.get("")
		begun := time.Now()
		var action sync.WaitGroup
		action.Go(func() {
			a.want(a.post("queues/emails/redrive", url.Values{"which": {"all"}}), http.StatusInternalServerError, "1 of 3 dead letters", "context canceled")
		})
		synctest.Wait()
		if err := a.h.Close(); err != nil {
			t.Error(err)
		}
		action.Wait()
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %s", took)
		}
		a.want(a.get("queues/emails"), http.StatusOK, "3</a>") // what was known stays
	})
}

// A browser that goes away does not end what it asked for.
func TestActionOutlivesItsRequest(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	a.do(form("queues/emails/redrive", url.Values{"which": {"all"}}).WithContext(gone))
	if dead := ids(t, q, batch.StateDead); dead != "" {
		t.Errorf("dead are %q", dead)
	}
	a.logged("action=redrive", "done=3")
}
