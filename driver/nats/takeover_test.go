package nats_test

import (
	"fmt"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/driver"
)

// TestLostJobsComeFirst: a job whose holder vanished is handed out before those that
// wait, with its lost holder counted, as often as that happens, and leaves nothing behind.
func TestLostJobsComeFirst(t *testing.T) {
	ts := startServer(t)
	d := openURL(t, ts.url())
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
	if left := messagesOf(t, ts.url(), q); left != 0 {
		t.Errorf("%d messages are left in the stream", left)
	}
}

// messagesOf counts the messages of a queue's stream.
func messagesOf(t testing.TB, url, q string) uint64 {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(testContext(t), "batch-"+q)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().State.Msgs
}
