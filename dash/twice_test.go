package dash

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// gated is a broker that stores when it is let.
type gated struct {
	*memory.Driver
	begun, let chan struct{}
}

func (g gated) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	g.begun <- struct{}{}
	<-g.let
	return g.Driver.Import(ctx, queue, entries)
}

// A form of an edit that is sent twice, by a double click for example, stores the job once.
func TestEditSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		q := three(t, d)
		g := gated{d, make(chan struct{}, 2), make(chan struct{})}
		a := openApp(t, g, acting())
		fields := formOf(a.get("queues/emails/edit?id=a"))
		answers := make(chan page, 2)
		go func() { answers <- a.post("queues/emails/edit", fields) }()
		<-g.begun
		go func() { answers <- a.post("queues/emails/edit", fields) }()
		synctest.Wait()
		close(g.let)
		codes := map[int]int{(<-answers).code: 1}
		codes[(<-answers).code]++
		if codes[http.StatusOK] != 1 || codes[http.StatusConflict] != 1 {
			t.Errorf("the answers have the statuses %v", codes)
		}
		if scheduled, dead := ids(t, q, batch.StateScheduled), ids(t, q, batch.StateDead); scheduled != "a" || dead != "bc" {
			t.Errorf("scheduled are %q and dead %q", scheduled, dead)
		}
	})
}

// After Close nothing is done any more.
func TestActionAfterClose(t *testing.T) {
	d := newBroker(t)
	q := three(t, d)
	a := openApp(t, d, acting())
	a.want(a.get("queues/emails"), http.StatusOK) // the queue is known
	if err := a.h.Close(); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		a.want(a.post("queues/emails/pause", nil), http.StatusServiceUnavailable, "closed", "Nothing was done")
	}
	if paused, err := q.Paused(t.Context()); err != nil || paused {
		t.Errorf("paused is %v, %v", paused, err)
	}
	r := httptest.NewRequest(http.MethodGet, "/batch/queues/emails", nil)
	a.want(a.do(r), http.StatusOK)
}
