package redis

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	// What go-redis logs of sentinels and lost connections would hide what a test logs.
	goredis.SetLogger(&logging.VoidLogger{})
	brokers.AtOnce(6)
	brokers.Main(m)
}

// bound is how long a test waits for what should come at once.
const bound = 10 * time.Second

// testURL is the server to test against.
func testURL(t testing.TB) string {
	t.Helper()
	return brokers.Redis(t, brokers.Redis8).URL()
}

// testContext ends with the test, or when that takes too long.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// withParam adds a parameter to a URL.
func withParam(t testing.TB, raw, name, value string) string {
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Add(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// open opens a driver that the test closes.
func open(t testing.TB, params ...string) *Driver {
	t.Helper()
	raw := testURL(t)
	for i := 0; i < len(params); i += 2 {
		raw = withParam(t, raw, params[i], params[i+1])
	}
	return openAt(t, raw)
}

// openAt opens a driver by its URL, and the test closes it.
func openAt(t testing.TB, address string) *Driver {
	t.Helper()
	d, err := Open(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, d) })
	return d
}

// clusterURL names the nodes of a cluster.
func clusterURL(addrs []string) string {
	return "redis+cluster://" + addrs[0] + "?addr=" + strings.Join(addrs[1:], "&addr=")
}

// closeDriver closes a driver within the bound.
func closeDriver(t testing.TB, d *Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// serial makes the names of queues differ.
var serial atomic.Int64

// queue declares a queue that the test deletes.
func queue(t testing.TB, d *Driver) string {
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

// message makes a job named id; edit changes it.
func message(id string, edit ...func(*driver.Message)) *driver.Message {
	m := &driver.Message{ID: id, Kind: "test", Body: []byte(`{"id":"` + id + `"}`), ContentType: defaultContentType, EnqueuedAt: time.UnixMilli(time.Now().UnixMilli()).UTC()}
	for _, e := range edit {
		e(m)
	}
	return m
}

// level, delay, group and dedup edit a message.
func level(l driver.Level) func(*driver.Message) { return func(m *driver.Message) { m.Level = l } }
func delay(d time.Duration) func(*driver.Message) {
	return func(m *driver.Message) { m.Delay = d }
}
func group(g string) func(*driver.Message) { return func(m *driver.Message) { m.Group = g } }
func dedup(k string) func(*driver.Message) { return func(m *driver.Message) { m.DedupKey = k } }

// within sets how long the dedup key is remembered.
func within(d time.Duration) func(*driver.Message) {
	return func(m *driver.Message) { m.DedupWithin = d }
}

// enqueue stores messages, and checks that none is a duplicate.
func enqueue(t testing.TB, d *Driver, q string, messages ...*driver.Message) {
	t.Helper()
	for i, r := range d.Enqueue(testContext(t), q, messages) {
		if r.Err != nil || r.Duplicate {
			t.Fatalf("enqueue %s: %+v", messages[i].ID, r)
		}
	}
}

// consume opens a consumer.
func consume(t testing.TB, d *Driver, q string, lease time.Duration) *consumer {
	t.Helper()
	c, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Lease: lease, Prefetch: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*consumer)
}

// receive gets exactly n jobs.
func receive(t testing.TB, c *consumer, n int) []*driver.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	var got []*driver.Delivery
	for len(got) < n {
		more, err := c.Receive(ctx, min(n-len(got), batchSize))
		if err != nil {
			t.Fatalf("receive: %v, after %d of %d jobs", err, len(got), n)
		}
		got = append(got, more...)
	}
	return got
}

// nothing checks that no job comes for a while.
func nothing(t testing.TB, c *consumer, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	if got, err := c.Receive(ctx, 10); err == nil {
		t.Fatalf("received %s and %d more, expected nothing", got[0].ID, len(got)-1)
	}
}

// settle ends deliveries, and checks that none was lost.
func settle(t testing.TB, c *consumer, settlements ...driver.Settlement) {
	t.Helper()
	for i, err := range c.Settle(testContext(t), settlements) {
		if err != nil {
			t.Fatalf("settle %s %s: %v", settlements[i].Delivery.ID, settlements[i].Outcome, err)
		}
	}
}

// done settles deliveries as done.
func done(t testing.TB, c *consumer, deliveries ...*driver.Delivery) {
	t.Helper()
	var s []driver.Settlement
	for _, d := range deliveries {
		s = append(s, driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone})
	}
	settle(t, c, s...)
}

// depth checks the counts of a queue. It leaves out what depends on the clock: the age,
// and how many are due.
func depth(t testing.TB, d *Driver, q string, want driver.Depth) {
	t.Helper()
	got, err := d.Depth(testContext(t), q)
	got.Age, got.Due = 0, 0
	if err != nil || got != want {
		t.Fatalf("depth is %+v, %v; want %+v", got, err, want)
	}
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	eventuallyIn(t, bound, what, ok)
}

// eventuallyIn waits for a condition for so long.
func eventuallyIn(t testing.TB, most time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(most)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", most, what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// raw is a client of the test's own.
func raw(t testing.TB) goredis.UniversalClient {
	t.Helper()
	return rawAt(t, testURL(t))
}

// rawAt is a client of the test's own, by the driver's URL.
func rawAt(t testing.TB, address string) goredis.UniversalClient {
	t.Helper()
	config, err := parsed(address)
	if err != nil {
		t.Fatal(err)
	}
	c := config.client(newDialer(config.dialTimeout, config.tls, nil))
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// nodes calls f for each server.
func nodes(t testing.TB, c goredis.UniversalClient, f func(c *goredis.Client)) {
	t.Helper()
	switch c := c.(type) {
	case *goredis.ClusterClient:
		err := c.ForEachMaster(testContext(t), func(_ context.Context, node *goredis.Client) error {
			f(node)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	case *goredis.Client:
		f(c)
	}
}

// wipe removes every key of a queue, and all scripts. To this queue it is what
// FLUSHALL is, or a restart without persistence; others may use the server.
func wipe(t testing.TB, c goredis.UniversalClient, d *Driver, q string) {
	t.Helper()
	nodes(t, c, func(node *goredis.Client) {
		keys := node.Scan(testContext(t), 0, d.names(q).prefix+"*", 1000).Iterator()
		for keys.Next(testContext(t)) {
			node.Del(testContext(t), keys.Val())
		}
		node.ScriptFlush(testContext(t))
	})
}

// streamKey is the key of a level's stream.
func streamKey(d *Driver, q string, l driver.Level) string {
	return d.names(q).prefix + keyNames[streamOf(l)-1]
}

// metaKey is the key that says that a queue exists.
func metaKey(d *Driver, q string) string { return d.names(q).prefix + metaName }

// declare declares a queue again.
func declare(t testing.TB, d *Driver, q string) {
	t.Helper()
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
}

// ids are those of the deliveries.
func ids(deliveries []*driver.Delivery) []string {
	var out []string
	for _, d := range deliveries {
		out = append(out, d.ID)
	}
	return out
}

func TestJobsGoThrough(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	want := message("full", func(m *driver.Message) {
		m.ContentType = "text/plain"
		m.Headers = map[string]string{"Trace": "a\x00\xff\r\n", "empty": ""}
		m.ExpiresAt = m.EnqueuedAt.Add(time.Hour)
		m.MaxAttempts, m.Timeout, m.Level = 3, 1500*time.Millisecond, driver.High
		m.Body = []byte("\x00\r\n$5\r\n\xff")
	})
	enqueue(t, d, q, message("plain"), want, message("none", func(m *driver.Message) { m.Body = nil }))
	depth(t, d, q, driver.Depth{Waiting: 3})
	c := consume(t, d, q, time.Minute)
	got := receive(t, c, 3)
	if fmt.Sprint(ids(got)) != "[full plain none]" {
		t.Fatalf("received %v", ids(got))
	}
	depth(t, d, q, driver.Depth{Running: 3})
	if a, b := fmt.Sprintf("%+v", got[0].Message), fmt.Sprintf("%+v", *want); a != b {
		t.Fatalf("received %s\nwant     %s", a, b)
	}
	if got[0].Deliveries != 1 || got[0].Redeliveries != 0 || got[0].Failures != 0 {
		t.Fatalf("history is %+v", got[0])
	}
	settle(t, c,
		driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeRetry, Failures: 1, Error: "oh", Delay: 50 * time.Millisecond},
		driver.Settlement{Delivery: got[1], Outcome: driver.OutcomeDone},
		driver.Settlement{Delivery: got[2], Outcome: driver.OutcomeRelease})
	got = receive(t, c, 2)
	if got[0].ID != "none" || got[0].Deliveries != 2 || got[0].Redeliveries != 0 {
		t.Fatalf("received %+v", got[0])
	}
	if got[1].ID != "full" || got[1].Failures != 1 || got[1].LastError != "oh" || got[1].Deliveries != 2 || got[1].Level != driver.High {
		t.Fatalf("received %+v", got[1])
	}
	if errs := c.Extend(testContext(t), got); errs != nil {
		t.Fatal(errs)
	}
	settle(t, c, driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent, Failures: 2, Error: "no"},
		driver.Settlement{Delivery: got[1], Outcome: driver.OutcomeDone})
	depth(t, d, q, driver.Depth{Dead: 1})
	dead, next, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil || next != "" || len(dead) != 1 || dead[0].ID != "none" || dead[0].Deliveries != 2 || dead[0].Failures != 2 ||
		dead[0].LastError != "no" || dead[0].Reason != driver.ReasonPermanent || time.Since(dead[0].DeadAt).Abs() > time.Minute {
		t.Fatalf("dead letters are %+v, %q, %v", dead, next, err)
	}
}
