package amqp

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// bound is how long a test waits for what should come at once.
const bound = 20 * time.Second

// testURL is the broker to test against.
func testURL(t testing.TB) string {
	t.Helper()
	return brokers.RabbitMQ(t, brokers.RabbitMQ4).URL()
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// open opens a driver that the test closes.
func open(t testing.TB) *Driver {
	t.Helper()
	d, err := Open(testContext(t), testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, d) })
	return d
}

func closeDriver(t testing.TB, d driver.Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

var serial atomic.Int64

// queue declares a queue that the test deletes.
func queue(t testing.TB, d driver.Driver) string {
	t.Helper()
	q := fmt.Sprintf("t-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), serial.Add(1))
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		_ = d.DeleteQueue(ctx, q)
	})
	return q
}

// message makes a job.
func message(id string, edit ...func(*driver.Message)) *driver.Message {
	m := &driver.Message{ID: id, Kind: "test", Body: []byte(`{"id":"` + id + `"}`), ContentType: "application/json", EnqueuedAt: time.UnixMilli(time.Now().UnixMilli()).UTC()}
	for _, e := range edit {
		e(m)
	}
	return m
}

func delay(d time.Duration) func(*driver.Message) {
	return func(m *driver.Message) { m.Delay = d }
}

func enqueue(t testing.TB, d driver.Driver, q string, messages ...*driver.Message) {
	t.Helper()
	for i, r := range d.Enqueue(testContext(t), q, messages) {
		if r.Err != nil || r.Duplicate {
			t.Fatalf("enqueue %s: %+v", messages[i].ID, r)
		}
	}
}

func consume(t testing.TB, d driver.Driver, q string, prefetch int) driver.Consumer {
	t.Helper()
	c, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Prefetch: prefetch})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func receive(t testing.TB, c driver.Consumer) *driver.Delivery {
	t.Helper()
	got, err := c.Receive(testContext(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func settle(t testing.TB, c driver.Consumer, s driver.Settlement) {
	t.Helper()
	for _, err := range c.Settle(testContext(t), []driver.Settlement{s}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestFirstPath(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a"), message("b"))
	if n, err := d.Depth(testContext(t), q); err != nil || n.Waiting != 2 {
		t.Fatal(n, err)
	}
	c := consume(t, d, q, 10)
	settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.Done})
	settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.Retry, Delay: 300 * time.Millisecond, Failures: 1, Error: "x"})
	got := receive(t, c)
	t.Logf("%+v", got)
	settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Release})
	got = receive(t, c)
	t.Logf("%+v", got)
	settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Dead, Failures: 2, Error: "x", Reason: "permanent"})
	page, next, err := d.DeadLetters(testContext(t), q, "", 10)
	t.Logf("%+v %q %v", page, next, err)
	n, err := d.Redrive(testContext(t), q, driver.Selection{All: true})
	t.Log(n, err)
	got = receive(t, c)
	t.Logf("%+v", got)
}
