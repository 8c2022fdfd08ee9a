package nats_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	brokers.AtOnce(6)
	brokers.Main(m)
}

// bound is how long a test waits for what should come at once.
const bound = 15 * time.Second

// testServer is a server of the test's own that it can stop and start again.
type testServer struct {
	t testing.TB
	*brokers.Instance
}

// startServer starts a server with JetStream. Each of config is a statement of its configuration.
func startServer(t testing.TB, config ...string) *testServer {
	t.Helper()
	return &testServer{t, brokers.NewNATSConfig(t, brokers.NATS2, strings.Join(config, "\n"))}
}

// sharedURL is a server for all tests that need no more of one than queues of their own.
func sharedURL(t testing.TB) string {
	t.Helper()
	return brokers.NATS(t, brokers.NATS2).URL()
}

func (ts *testServer) start() {
	ts.t.Helper()
	if err := ts.Start(testContext(ts.t)); err != nil {
		ts.t.Fatal(err)
	}
}

func (ts *testServer) stop() {
	ts.t.Helper()
	if err := ts.Stop(testContext(ts.t)); err != nil {
		ts.t.Fatal(err)
	}
}

func (ts *testServer) url() string { return ts.URL() }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// openURL opens a driver that the test closes.
func openURL(t testing.TB, url string) *nats.Driver {
	t.Helper()
	d, err := nats.Open(testContext(t), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, d) })
	return d
}

// rawJetStream is the client library's own way to what a server has. The test closes it.
func rawJetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func closeDriver(t testing.TB, d *nats.Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

var serial atomic.Int64

// declare declares a queue. It ends with its server, or with the test where that does not end.
func declare(t testing.TB, d *nats.Driver) string {
	t.Helper()
	q := fmt.Sprintf("t-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), serial.Add(1))
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	if brokers.IsGiven("nats") {
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), bound)
			defer cancel()
			_ = d.DeleteQueue(ctx, q)
		})
	}
	return q
}

func message(id string) *driver.Message {
	return &driver.Message{ID: id, Kind: "test", Body: []byte(`{"id":"` + id + `"}`), ContentType: "application/json", EnqueuedAt: time.UnixMilli(1760000000000).UTC()}
}

// enqueue stores messages.
func enqueue(t testing.TB, d *nats.Driver, q string, messages ...*driver.Message) {
	t.Helper()
	for i, r := range d.Enqueue(testContext(t), q, messages) {
		if r.Err != nil || r.Duplicate {
			t.Fatalf("enqueue %s: %+v", messages[i].ID, r)
		}
	}
}

func consume(t testing.TB, d *nats.Driver, q string, lease time.Duration) driver.Consumer {
	t.Helper()
	c, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Lease: lease, Prefetch: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// receive gets exactly n jobs.
func receive(t testing.TB, c driver.Consumer, n int) []*driver.Delivery {
	t.Helper()
	ctx := testContext(t)
	var got []*driver.Delivery
	for len(got) < n {
		more, err := c.Receive(ctx, min(n-len(got), 1000))
		if err != nil {
			t.Fatalf("receive: %v, after %d of %d jobs", err, len(got), n)
		}
		got = append(got, more...)
	}
	return got
}

// settle settles one delivery.
func settle(t testing.TB, c driver.Consumer, s driver.Settlement) error {
	t.Helper()
	if errs := c.Settle(testContext(t), []driver.Settlement{s}); errs != nil {
		return errs[0]
	}
	return nil
}

// waitDepth waits until the counts are these, whatever the age.
func waitDepth(t testing.TB, d *nats.Driver, q string, want driver.Depth) {
	t.Helper()
	ctx := testContext(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		got, err := d.Depth(ctx, q)
		if got.Age = 0; err == nil && got == want {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("depth is %+v, %v; want %+v", got, err, want)
		}
	}
}

// exercise uses every kind of request once.
func exercise(t *testing.T, d *nats.Driver, q string) {
	t.Helper()
	ctx := testContext(t)
	keyed, late := message("keyed"), message("late")
	keyed.DedupKey, late.Delay = "key", time.Hour
	enqueue(t, d, q, message("plain"), keyed, late)
	if r := d.Enqueue(ctx, q, []*driver.Message{keyed}); len(r) != 1 || !r[0].Duplicate || r[0].DuplicateOf != "keyed" {
		t.Fatalf("a second job with the key: %+v", r)
	}
	if err := d.EnqueueAtomic(ctx, q, []*driver.Message{message("a"), message("b")}); err != nil {
		t.Fatal(err)
	}
	if err := d.Pause(ctx, q); err != nil {
		t.Fatal(err)
	}
	if err := d.Resume(ctx, q); err != nil {
		t.Fatal(err)
	}
	c := consume(t, d, q, 10*time.Second)
	got := receive(t, c, 4)
	if errs := c.Extend(ctx, got); errs != nil {
		t.Fatal(errs)
	}
	for i, s := range []driver.Settlement{{Outcome: driver.OutcomeDone}, {Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}, {Outcome: driver.OutcomeRelease}, {Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1}} {
		s.Delivery = got[i]
		if err := settle(t, c, s); err != nil {
			t.Fatal(err)
		}
	}
	waitDepth(t, d, q, driver.Depth{Waiting: 1, Scheduled: 2, Dead: 1})
	for state, want := range map[driver.State]int{driver.StateWaiting: 1, driver.StateScheduled: 2, driver.StateDead: 1} {
		page, _, err := d.List(ctx, q, state, "", 10)
		if err != nil || len(page) != want {
			t.Fatalf("%s: %+v, %v", state, page, err)
		}
	}
	if n, err := d.Redrive(ctx, q, driver.Selection{All: true}); n != 1 || err != nil {
		t.Fatalf("redrove %d, %v", n, err)
	}
	if err := d.Delete(ctx, q, "late"); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t testing.TB, directory, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(directory, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
