package sqs

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// testURL is a URL of the test server, with the shortest poll.
func testURL(t testing.TB, scheme string) string {
	t.Helper()
	return urlOf(brokers.SQS(t), scheme)
}

// urlOf is that of another server.
func urlOf(server *brokers.Instance, scheme string) string {
	query := url.Values{"endpoint": {server.URL()}, "wait": {"1s"}, "session_token": {secrets[1]}}
	return scheme + "://test:" + secrets[0] + "@us-east-1/?" + query.Encode()
}

// secrets are the credentials of testURL.
var secrets = []string{"Hq7secretZk2", "Wm4tokenRx9"}

// job is a message as the core would make it.
func job(id string, delay time.Duration) *driver.Message {
	return &driver.Message{
		ID: id, Kind: "test", ContentType: "application/json", Body: []byte(`{"n":1}`),
		EnqueuedAt: time.Now().Truncate(time.Millisecond).UTC(), Delay: delay,
	}
}

// testDriver is what both types have.
type testDriver interface {
	driver.Driver
	driver.Delayer
	driver.Importer
	driver.QueueLister
}

func put(t *testing.T, d driver.Driver, messages ...*driver.Message) {
	t.Helper()
	for _, r := range d.Enqueue(t.Context(), "q", messages) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// enqueued enqueues a job and returns its error.
func enqueued(t *testing.T, d driver.Driver) error {
	t.Helper()
	for _, r := range d.Enqueue(t.Context(), "q", []*driver.Message{job("new", 0)}) {
		return r.Err
	}
	return nil
}

func consume(t *testing.T, d driver.Driver, lease time.Duration) *consumer {
	t.Helper()
	c, err := d.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: lease, Prefetch: 10})
	if err != nil {
		t.Fatal(err)
	}
	return c.(*consumer)
}

func receive(t *testing.T, c driver.Consumer) *driver.Delivery {
	t.Helper()
	got, err := c.Receive(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	return got[0]
}

func settle(t *testing.T, c driver.Consumer, s driver.Settlement) {
	t.Helper()
	for _, err := range c.Settle(t.Context(), []driver.Settlement{s}) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func closeAll(t *testing.T, d driver.Driver) {
	t.Helper()
	if err := d.Close(context.Background()); err != nil {
		t.Error(err)
	}
}
