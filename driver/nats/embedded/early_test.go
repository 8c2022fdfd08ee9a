package embedded_test

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/internal/bootclock"
)

// open opens a directory, and closes it when the test ends.
func open(t *testing.T, directory string) *embedded.Driver {
	t.Helper()
	d, err := embedded.New(testContext(t), directory, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return d
}

// consume opens a consumer of the queue q, which it declares.
func consume(t *testing.T, d *embedded.Driver, lease time.Duration) driver.Consumer {
	t.Helper()
	if err := d.Declare(testContext(t), "q"); err != nil {
		t.Fatal(err)
	}
	c, err := d.Consume(testContext(t), "q", driver.ConsumeOptions{Lease: lease, Prefetch: 10})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// receiveOne receives the next job.
func receiveOne(t *testing.T, c driver.Consumer) *driver.Delivery {
	t.Helper()
	got, err := c.Receive(testContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

// delayed is a message of a job that is due in a while, by a clock.
func delayed(subject, id string, due time.Duration, clock string) *natsgo.Msg {
	return &natsgo.Msg{Subject: subject, Data: []byte("{}"), Header: natsgo.Header{
		"Batch-Id": {id}, "Batch-Kind": {"test"}, "Batch-At": {"1000000000000"},
		"Batch-Due": {strconv.FormatInt(int64(due), 10)}, "Batch-Clock": {clock},
	}}
}

// TestEarlyIsPutBack: what the server hands out before its time, as its clock was set ahead, is handed out when that has
// come, and nobody counts it. Only a time by the clock of this machine is one.
func TestEarlyIsPutBack(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	c := consume(t, d, time.Minute)
	due := bootclock.Now() + 2*time.Second
	for _, m := range []*natsgo.Msg{
		delayed("batch.q.job", "early", due, bootclock.ID),
		delayed("batch.q.job", "elsewhere", due, "another"),
		delayed("batch.q.job", "over", 1, bootclock.ID),
	} {
		if _, err := embedded.Connection(d).RequestMsg(m, bound); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"elsewhere", "over", "early"} {
		got := receiveOne(t, c)
		if got.ID != want || got.Deliveries != 1 || got.Redeliveries != 0 || got.Failures != 0 {
			t.Errorf("%s came, delivered %d times, with %d holders lost and %d failures; want %s", got.ID, got.Deliveries, got.Redeliveries, got.Failures, want)
		}
		if left := due - bootclock.Now(); got.ID == "early" && left > 0 {
			t.Errorf("%s too early", left)
		}
	}
}

// TestSetWhileClosed: schedules that are wrong, as the clock was set back while nobody had the directory, are corrected
// by who opens it next.
func TestSetWhileClosed(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	d := open(t, directory)
	consume(t, d, time.Minute)
	scheduled := time.Now().Add(time.Hour)
	m := delayed(fmt.Sprintf("batch.q.later.%015d.bGF0ZQ.x", scheduled.UnixMilli()), "late", bootclock.Now()+time.Second, bootclock.ID)
	m.Header["Nats-Schedule"], m.Header["Nats-Schedule-Target"] = []string{"@at " + scheduled.UTC().Format(time.RFC3339Nano)}, []string{"batch.q.job"}
	if _, err := embedded.Connection(d).RequestMsg(m, bound); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	d = open(t, directory)
	if got := receiveOne(t, consume(t, d, time.Minute)); got.ID != "late" || got.Deliveries != 1 {
		t.Errorf("%s came, delivered %d times", got.ID, got.Deliveries)
	}
}

// TestHeldIsSpared: what the server hands out again while it is held, as its clock was set ahead, stays with its holder,
// whichever handle on the directory that is. When the lease is over, one holder was lost.
func TestHeldIsSpared(t *testing.T) {
	t.Parallel()
	directory := filepath.ToSlash(t.TempDir())
	d, other := open(t, directory), open(t, directory)
	first, second := consume(t, d, 3*time.Second), consume(t, other, 3*time.Second)
	for _, r := range d.Enqueue(testContext(t), "q", []*driver.Message{message("held")}) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
	ends := time.Now().Add(3 * time.Second) // at the earliest
	held := receiveOne(t, first)
	var info struct {
		Delivered struct {
			Consumer uint64 `json:"consumer_seq"`
			Stream   uint64 `json:"stream_seq"`
		} `json:"delivered"`
		Redelivered int `json:"num_redelivered"`
	}
	nc := embedded.Connection(d)
	ask := func() {
		m, err := nc.Request("$JS.API.CONSUMER.INFO.batch-q.jobs", nil, bound)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(m.Data, &info); err != nil {
			t.Fatal(err)
		}
	}
	ask()
	if err := nc.Publish(fmt.Sprintf("$JS.ACK.batch-q.jobs.1.%d.%d.1760000000000000000.0", info.Delivered.Stream, info.Delivered.Consumer), []byte("-NAK")); err != nil {
		t.Fatal(err)
	}
	got := receiveOne(t, second)
	if ask(); info.Redelivered == 0 || time.Now().Before(ends) {
		t.Errorf("it came %s before the end of the lease; %d were handed out again", time.Until(ends), info.Redelivered)
	}
	if got.ID != held.ID || got.Deliveries != 2 || got.Redeliveries != 1 {
		t.Errorf("%s came, delivered %d times, with %d holders lost", got.ID, got.Deliveries, got.Redeliveries)
	}
	for _, err := range second.Settle(testContext(t), []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}}) {
		if err != nil {
			t.Error(err)
		}
	}
}
