package nats_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// apiCalls counts the requests of the JetStream API that a server gets, by what they ask.
type apiCalls struct {
	t  *testing.T
	nc *natsgo.Conn

	mu    sync.Mutex // guards following
	all   int
	kinds map[string]int
}

// newAPICalls begins to count.
func newAPICalls(t *testing.T, url string) *apiCalls {
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	c := &apiCalls{t: t, nc: nc, kinds: make(map[string]int)}
	if _, err := nc.Subscribe("$JS.API.>", func(m *natsgo.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		kind := strings.TrimPrefix(m.Subject, "$JS.API.")
		kind, _, _ = strings.Cut(kind, ".batch-")
		c.kinds[kind]++
		c.all++
	}); err != nil {
		t.Fatal(err)
	}
	c.take()
	return c
}

// take returns how many came since the last take.
func (c *apiCalls) take() (all int, kinds map[string]int) {
	if err := c.nc.Flush(); err != nil { // what the server has taken before comes before the answer
		c.t.Fatal(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	all, kinds = c.all, c.kinds
	c.all, c.kinds = 0, make(map[string]int)
	return all, kinds
}

// TestRequestsOfAQueue: what a worker asks the server for each of its queues. With hundreds of
// them it is what their start costs, and what they cost when nothing happens.
func TestRequestsOfAQueue(t *testing.T) {
	ts := startServer(t)
	d, calls := openURL(t, ts.url()), newAPICalls(t, ts.url())
	calls.take()
	// The server may answer a request before it tells of it, so that one counts for the next.
	asked, budget := 0, 0
	want := func(what string, most int) {
		t.Helper()
		all, kinds := calls.take()
		asked, budget = asked+all, budget+most
		t.Logf("%s: %d requests, %v", what, all, kinds)
		if asked > budget {
			t.Errorf("%s: %d requests by now, want %d at most: %v", what, asked, budget, kinds)
		}
	}
	q := declare(t, d)
	want("a new queue", 5)
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	want("a queue that is there", 4)
	if _, err := d.Depth(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	want("the depth", 3)
	c, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Lease: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	want("a consumer", 1)
	enqueue(t, d, q, message("a"))
	receive(t, c, 1)
	if err := c.Close(testContext(t)); err != nil { // which waits for the look
		t.Fatal(err)
	}
	want("a pull, and a look for what is overdue or was changed", 4)
}
