package nats_test

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

// TestLostJobsComeFirst: a job whose holder vanished is handed out before those that
// wait, with its lost holder counted, as often as that happens, and leaves nothing behind.
func TestLostJobsComeFirst(t *testing.T) {
	t.Parallel() // it waits for leases
	url := sharedURL(t)
	d := openURL(t, url)
	q := declare(t, d)
	enqueue(t, d, q, message("first"))
	c := consume(t, d, q, time.Second)
	receive(t, c, 1)
	const backlog = 999
	var many []*driver.Message
	for i := range backlog {
		many = append(many, message(fmt.Sprint("job-", i)))
	}
	enqueue(t, d, q, many...)
	long := consume(t, d, q, 30*time.Second)
	var held *driver.Delivery
	for lost := 1; lost <= 3; lost++ {
		end := time.NewTimer(1100 * time.Millisecond) // the lease
		<-end.C
		if held = receive(t, c, 1)[0]; held.ID != "first" || held.Redeliveries != lost || held.Deliveries != lost+1 {
			t.Fatalf("the job behind a lost holder is %s, lost %d times in %d deliveries", held.ID, held.Redeliveries, held.Deliveries)
		}
	}
	if err := settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeRetry, Failures: 1}); err != nil {
		t.Fatal(err)
	}
	for _, g := range receive(t, long, backlog+1) {
		if err := settle(t, long, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
			t.Fatal(err)
		}
	}
	if left := messagesOf(t, url, q); left != 0 {
		t.Errorf("%d messages are left in the stream", left)
	}
}

// messagesOf counts the messages of a queue's stream.
func messagesOf(t testing.TB, url, q string) uint64 {
	t.Helper()
	js := rawJetStream(t, url)
	stream, err := js.Stream(testContext(t), "batch-"+q)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}

// TestKilledWhileTakingOver: a worker that dies while it takes over what another one
// lost, at the worst of moments, leaves each job there once.
func TestKilledWhileTakingOver(t *testing.T) {
	t.Parallel() // it waits for the server's own lease
	url := sharedURL(t)
	d := openURL(t, url)
	q := declare(t, d)
	const count = 30
	var jobs []*driver.Message
	for i := range count {
		jobs = append(jobs, message(fmt.Sprint("job-", i)))
	}
	enqueue(t, d, q, jobs...)
	receive(t, consume(t, d, q, time.Second), count) // and it is never heard of again
	end := time.NewTimer(1200 * time.Millisecond)
	<-end.C

	r := startRelay(t, url)
	dying, err := nats.Open(testContext(t), r.url())
	if err != nil {
		t.Fatal(err)
	}
	c := consume(t, dying, q, 30*time.Second)
	// What it stores first arrives, and nothing after that.
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	var stored atomic.Bool
	r.filter(func(up bool, b []byte) bool {
		if up && !stored.Load() && (bytes.Contains(b, []byte("HPUB batch."+q+".job")) || bytes.Contains(b, []byte("HPUB batch."+q+".held"))) {
			stored.Store(true)
			time.AfterFunc(time.Second, cancel) // when it has arrived
			return false
		}
		return stored.Load()
	})
	if got, err := c.Receive(ctx, count); err == nil {
		t.Fatalf("received %d jobs from a server that does not answer", len(got))
	}
	r.reset()
	_ = dying.Close(ctx) // it cannot give back anything
	if !stored.Load() {
		t.Fatal("nothing was stored")
	}

	runs := make(map[string]int)
	last := consume(t, d, q, 30*time.Second)
	over, stop := context.WithTimeout(context.Background(), 3*time.Minute)
	defer stop()
	for ran := 0; over.Err() == nil; {
		once, cancel := context.WithTimeout(over, 3*time.Second)
		got, err := last.Receive(once, 100)
		cancel()
		if err != nil && ran >= count {
			break
		}
		for _, g := range got {
			ran++
			runs[g.ID]++
			if err := settle(t, last, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone}); err != nil {
				t.Error(err)
			}
		}
	}
	twice := 0
	for _, n := range runs {
		if n > 1 {
			twice++
		}
	}
	if len(runs) != count || twice > 0 {
		t.Errorf("%d of %d jobs ran, %d of them twice", len(runs), count, twice)
	}
}

// TestTakenOverHasItsLease: a job that was taken over when no Receive waited for it any
// more has the consumer's lease when the next one returns it.
func TestTakenOverHasItsLease(t *testing.T) {
	url := sharedURL(t)
	d := openURL(t, url)
	q := declare(t, d)
	enqueue(t, d, q, message("job"))
	c := consume(t, d, q, time.Hour)
	nats.LeaveTaken(c, receive(t, c, 1)[0])
	begun := time.Now()
	if left := nats.Until(receive(t, c, 1)[0]).Sub(begun); left < time.Hour {
		t.Errorf("it is held for %s", left)
	}
}
