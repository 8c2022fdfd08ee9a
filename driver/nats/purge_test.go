package nats_test

import (
	"fmt"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

// TestPurge: on one server and on a cluster.
func TestPurge(t *testing.T) {
	t.Parallel() // it starts a cluster
	t.Run("server", func(t *testing.T) { testPurge(t, openURL(t, sharedURL(t))) })
	t.Run("cluster", func(t *testing.T) {
		testPurge(t, openURL(t, harness(brokers.NATSCluster(t, brokers.NATS2).URL(), "").URL))
	})
}

// testPurge purges a queue with jobs in every state, more waiting ones than are
// removed at once.
func testPurge(t *testing.T, d *nats.Driver) {
	ctx := testContext(t)
	q := declare(t, d)
	var jobs []*driver.Message
	for i := range 503 {
		jobs = append(jobs, message(fmt.Sprint("job-", i)))
	}
	late, keyed := message("late"), message("keyed")
	late.Delay, keyed.DedupKey = time.Hour, "key"
	running := message("running")
	running.DedupKey = "running"
	enqueue(t, d, q, running)
	enqueue(t, d, q, append(jobs, late, keyed)...)
	c := consume(t, d, q, 30*time.Second)
	got := receive(t, c, 3)
	if err := settle(t, c, driver.Settlement{Delivery: got[2], Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}); err != nil {
		t.Fatal(err)
	}
	waitDepth(t, d, q, driver.Depth{Waiting: 502, Running: 2, Scheduled: 1, Dead: 1})
	n, err := d.Purge(ctx, q)
	if n != 502 || err != nil {
		t.Errorf("purged %d, %v; want 502", n, err)
	}
	waitDepth(t, d, q, driver.Depth{Running: 2, Scheduled: 1, Dead: 1})
	if n, err := d.Purge(ctx, q); n != 0 || err != nil {
		t.Errorf("purged %d of nothing, %v", n, err)
	}
	if err := settle(t, c, driver.Settlement{Delivery: got[1], Outcome: driver.OutcomeDone}); err != nil {
		t.Errorf("settling what ran meanwhile: %v", err)
	}
	again := message("again")
	again.DedupKey = "running"
	if r := d.Enqueue(ctx, q, []*driver.Message{again}); len(r) != 1 || !r[0].Duplicate {
		t.Errorf("the key of a job that runs: %+v", r)
	}
	again.DedupKey = "key"
	enqueue(t, d, q, again)
	if next := receive(t, c, 1)[0]; next.ID != "again" {
		t.Errorf("received %s after the purge", next.ID)
	}
}

// TestPurgeForeignEntries: what is no job and waits among them is removed too.
func TestPurgeForeignEntries(t *testing.T) {
	url := sharedURL(t)
	d := openURL(t, url)
	q := declare(t, d)
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if _, err := nc.RequestWithContext(testContext(t), "batch."+q+".job", []byte("what")); err != nil {
		t.Fatal(err)
	}
	if n, err := d.Purge(testContext(t), q); n != 1 || err != nil {
		t.Errorf("purged %d, %v", n, err)
	}
	waitDepth(t, d, q, driver.Depth{})
}
