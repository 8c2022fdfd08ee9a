package amqp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	brokers.AtOnce(6)
	brokers.Main(m)
}

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
	address := testURL(t) // before the time begins: it may start the broker
	d, err := Open(testContext(t), address)
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

// A queue that exists with other arguments is refused by name and left alone.
func TestDeclareConflict(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	address := testURL(t) + "?priority=classic"
	p, err := OpenPriority(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	defer closeDriver(t, p)
	err = p.Declare(testContext(t), q)
	if !errors.Is(err, driver.ErrConflict) || !strings.Contains(err.Error(), "x-queue-type") && !strings.Contains(err.Error(), "x-max-priority") {
		t.Errorf("declare a quorum queue as classic: %v", err)
	}
	enqueue(t, d, q, message("a"))
	if _, err := d.Depth(testContext(t), q); err != nil {
		t.Error(err)
	}
}

// Settling in any order acknowledges in multiples only what is settled.
func TestSettleOutOfOrder(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	const n = 40
	for i := range n {
		enqueue(t, d, q, message(fmt.Sprint(i)))
	}
	c := consume(t, d, q, n)
	held := make(map[string]*driver.Delivery)
	for len(held) < n {
		got := receive(t, c)
		held[got.ID] = got
	}
	keep := held["7"]
	for _, part := range [][]int{{3, 1, 20}, {0, 2, 39, 38}, {4, 5, 6, 8, 9, 10}} {
		var settlements []driver.Settlement
		for _, i := range part {
			settlements = append(settlements, driver.Settlement{Delivery: held[fmt.Sprint(i)], Outcome: driver.OutcomeDone})
			delete(held, fmt.Sprint(i))
		}
		for _, err := range c.Settle(testContext(t), settlements) {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	closeDriver(t, d) // what was not settled comes back, and nothing else
	d = open(t)
	c = consume(t, d, q, n)
	for len(held) > 0 {
		got := receive(t, c)
		if held[got.ID] == nil {
			t.Fatalf("%s came back, and was settled or came twice", got.ID)
		}
		if got.Redeliveries != 1 {
			t.Errorf("Redeliveries of %s is %d", got.ID, got.Redeliveries)
		}
		delete(held, got.ID)
	}
	if keep == nil {
		t.Fatal("7 did not come")
	}
}
