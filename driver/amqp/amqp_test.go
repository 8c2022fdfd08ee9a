package amqp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

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

func TestOpenRefused(t *testing.T) {
	server := brokers.RabbitMQ(t, brokers.RabbitMQ4)
	nobody := "amqp://127.0.0.1:1"
	for what, c := range map[string]struct {
		url  string
		kind error
	}{
		"a wrong password":  {"amqp://guest:secret-word@" + server.Addr, driver.ErrUnauthorized},
		"a missing vhost":   {strings.TrimSuffix(server.URL(), "/") + "/missing", driver.ErrUnauthorized},
		"nobody there":      {nobody, driver.ErrUnavailable},
		"a wrong parameter": {"amqp://guest:secret-word@host/?x=1", driver.ErrConfig},
	} {
		if d, err := Open(testContext(t), c.url); !errors.Is(err, c.kind) {
			if err == nil {
				closeDriver(t, d)
			}
			t.Errorf("open with %s: the error is %v, want one that wraps %q", what, err, c.kind)
		} else if strings.Contains(err.Error(), "secret-word") {
			t.Errorf("open with %s: the error has the password: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, server.URL()); !errors.Is(err, context.Canceled) {
		t.Errorf("open with a ctx that ended: %v", err)
	}
}

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"amqp://h":                   "/",
		"amqp://h/":                  "/",
		"amqp://h/%2F":               "/",
		"amqp://h/a%2Fb":             "a/b",
		"amqp://h/jobs?heartbeat=3s": "jobs",
	} {
		c, err := parseText(raw)
		if err != nil || c.vhost != want || c.addrs[0] != "h:5672" {
			t.Errorf("parse %s: %+v, %v", raw, c, err)
		}
	}
	for _, raw := range []string{
		"http://h", "amqp:h", "amqp://h/a/b", "amqp://h?priority=high", "amqp://h?auth=external", "amqp://h:70000",
		"amqp://h?tls_ca=x", "amqps://h?tls_cert=x", "amqps://h?tls_ca=/missing", "amqp://h?addr=", "amqp://h?heartbeat=1ms", "amqp://h#x", "amqp://%zz",
	} {
		if _, err := parseText(raw); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("parse %s: the error is %v, want one that wraps %q", raw, err, driver.ErrConfig)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		product, version string
		shape            shape
		fit              bool
	}{
		{"RabbitMQ", "4.0.5", shapePlain, true},
		{"RabbitMQ", "4.3.0-rc.1", shapeQuorum, true},
		{"RabbitMQ", "5.0.0", shapeQuorum, true},
		{"RabbitMQ", "4.2.9", shapeQuorum, false},
		{"RabbitMQ", "4.0.5", shapeClassic, true},
		{"RabbitMQ", "3.13.7", shapePlain, false},
		{"RabbitMQ", "", shapePlain, false},
		{"LavinMQ", "4.3.0", shapePlain, false},
	} {
		err := fit(c.product, c.version, c.shape)
		if (err == nil) != c.fit || err != nil && (!errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), c.version)) {
			t.Errorf("fit(%q, %q, %s) = %v", c.product, c.version, c.shape, err)
		}
	}
}

func TestRung(t *testing.T) {
	for i, d := range levels {
		if rung(d) != d || i > 0 && rung(d-1) != levels[i-1] {
			t.Errorf("rung near %s is %s and %s", d, rung(d), rung(d-1))
		}
	}
	if last := levels[len(levels)-1]; last.Milliseconds() >= 1<<32 || rung(maxDelay) != last {
		t.Errorf("the longest level is %s", last)
	}
}

// A job that another machine delayed goes by what is left, not by its clock.
func TestDueOf(t *testing.T) {
	now := time.Now()
	headers := amqp091.Table{hDue: now.Add(-time.Hour).UnixMilli(), hLeft: int64(5000), hClock: "another"}
	if got := dueOf(headers, now).Sub(now); got != 5*time.Second {
		t.Errorf("by another clock: due in %s, want 5s", got)
	}
	headers[hClock] = clockID
	if got := now.Sub(dueOf(headers, now)); got < time.Hour || got > time.Hour+time.Millisecond {
		t.Errorf("by the own clock: due %s ago, want an hour", got)
	}
	if got := dueOf(amqp091.Table{}, now); !got.Equal(now) {
		t.Errorf("without a time: due at %s, want now, %s", got, now)
	}
}

// A queue that exists with other arguments is refused by name and left alone.
func TestDeclareConflict(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	p, err := OpenPriority(testContext(t), testURL(t)+"?priority=classic")
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

func TestMissingQueue(t *testing.T) {
	d := open(t)
	ctx := testContext(t)
	results := d.Enqueue(ctx, "missing", []*driver.Message{message("a"), message("b", delay(time.Hour))})
	for i, r := range results {
		if !errors.Is(r.Err, driver.ErrNotFound) || driver.FateOf(r.Err) != driver.FateNotStored {
			t.Errorf("enqueue %d on a missing queue: %v", i, r.Err)
		}
	}
	if len(results) != 2 {
		t.Errorf("%d results", len(results))
	}
	if _, err := d.Consume(ctx, "missing", driver.ConsumeOptions{Prefetch: 1}); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("consume from a missing queue: %v", err)
	}
	if _, err := d.Depth(ctx, "missing"); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("depth of a missing queue: %v", err)
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
			settlements = append(settlements, driver.Settlement{Delivery: held[fmt.Sprint(i)], Outcome: driver.Done})
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

// When the connections break, calls that follow connect anew; what was held is
// lost and says so.
func TestCut(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a"))
	c := consume(t, d, q, 1)
	got := receive(t, c)
	for _, p := range []*port{d.pub, d.sub} {
		l, err := p.live()
		if err != nil || l == nil {
			t.Fatal(l, err)
		}
		l.cut()
		<-l.ended
	}
	if err := c.Settle(testContext(t), []driver.Settlement{{Delivery: got, Outcome: driver.Done}})[0]; !errors.Is(err, driver.ErrLeaseLost) && !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("settle after a cut: %v", err)
	}
	enqueue(t, d, q, message("b"))
	var ids []string
	for len(ids) < 2 {
		deliveries, err := c.Receive(testContext(t), 1)
		if err != nil {
			if !errors.Is(err, driver.ErrUnavailable) {
				t.Fatal(err)
			}
			continue
		}
		ids = append(ids, deliveries[0].ID)
		settle(t, c, driver.Settlement{Delivery: deliveries[0], Outcome: driver.Done})
	}
	slices.Sort(ids)
	if ids[0] != "a" || ids[1] != "b" {
		t.Errorf("received %v", ids)
	}
	if err := c.Settle(testContext(t), []driver.Settlement{{Delivery: got, Outcome: driver.Done}})[0]; !errors.Is(err, driver.ErrLeaseLost) {
		t.Errorf("settle a receipt of the old connection: %v", err)
	}
}

// While the broker is short of memory it blocks publishers. Calls wait until
// their deadline, and acknowledgements go on.
func TestBlocked(t *testing.T) {
	server := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
	d, err := Open(testContext(t), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer closeDriver(t, d)
	if err := d.Declare(testContext(t), "q"); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, "q", message("a"))
	c := consume(t, d, "q", 1)
	got := receive(t, c)
	if _, err := server.Exec(testContext(t), "rabbitmqctl", "set_vm_memory_high_watermark", "0.0000001"); err != nil {
		t.Fatal(err)
	}
	// The broker blocks a connection when it publishes: the first call may have
	// been sent, and those after it are not.
	l, _ := d.pub.live()
	fate := driver.FateUnknown
	for range 50 {
		ctx, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
		results := d.Enqueue(ctx, "q", []*driver.Message{message("b")})
		cancel()
		if results == nil {
			continue // the alarm is not on yet
		}
		if !errors.Is(results[0].Err, context.DeadlineExceeded) {
			t.Fatalf("enqueue while the broker blocks: %v", results[0].Err)
		}
		if fate = driver.FateOf(results[0].Err); fate == driver.FateNotStored {
			break
		}
	}
	if open, _ := l.flow(); fate != driver.FateNotStored {
		t.Errorf("the fate of an enqueue while the broker blocks is %q (flow %v)", fate, open)
	}
	settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.Done})
	if _, err := server.Exec(testContext(t), "rabbitmqctl", "set_vm_memory_high_watermark", "0.6"); err != nil {
		t.Fatal(err)
	}
	enqueue(t, d, "q", message("c"))
}

// What a level travels as, and headers that the broker would read itself.
func TestWire(t *testing.T) {
	m := message("id", func(m *driver.Message) {
		m.Level = driver.High
		m.Headers = map[string]string{"CC": "a", "x-death": "b", "X-Y": "c", "traceparent": "d"}
	})
	p := encode(m, &history{failures: 2, lastError: "e", deliveries: 3, losses: 1})
	if p.Priority != 4 || p.Headers["batch-h-CC"] != "a" || p.Headers["traceparent"] != "d" || p.Headers["x-death"] != nil {
		t.Errorf("encoded as %+v", p)
	}
	d := amqp091.Delivery{MessageId: p.MessageId, Type: p.Type, ContentType: p.ContentType, Timestamp: p.Timestamp, Priority: p.Priority, Headers: p.Headers, Body: p.Body}
	j := decode(&d)
	if j.bad != "" || j.Level != m.Level || len(j.Headers) != 4 || j.Headers["X-Y"] != "c" || !j.EnqueuedAt.Equal(m.EnqueuedAt) {
		t.Errorf("decoded as %+v", j)
	}
	if j.failures != 2 || j.lastError != "e" || j.deliveries != 4 || j.redeliveries != 1 {
		t.Errorf("history decoded as %+v", j)
	}
	d.Headers["batch-timeout"] = "soon"
	if j := decode(&d); !strings.Contains(j.bad, "batch-timeout") {
		t.Errorf("a damaged header: %q", j.bad)
	}
}
