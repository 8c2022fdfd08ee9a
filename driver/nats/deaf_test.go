package nats_test

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// seconds is what a lost request may cost: the time of a pull, and some more.
const seconds = 12 * time.Second

// TestLostPull: a request for jobs that never arrives, and an answer that never comes,
// cost seconds. No reset is seen, and the connection goes on.
func TestLostPull(t *testing.T) {
	for what, lost := range map[string]func(up bool, b []byte) bool{
		"request": func(up bool, b []byte) bool { return up && bytes.Contains(b, []byte("CONSUMER.MSG.NEXT")) },
		// The end of the pull that waits.
		"end": func(up bool, b []byte) bool { return !up && bytes.Contains(b, []byte("NATS/1.0 408")) },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			ts := startServer(t)
			r := startRelay(t, ts.url())
			d := openURL(t, r.url())
			q := declare(t, d)
			c := consume(t, d, q, 30*time.Second)
			var swallowed atomic.Int64
			done := make(chan struct{})
			r.filter(func(up bool, b []byte) bool {
				if lost(up, b) && swallowed.Add(1) == 1 {
					close(done)
					return true
				}
				return false
			})
			got := make(chan []*driver.Delivery, 1)
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 4*seconds)
				defer cancel()
				jobs, err := c.Receive(ctx, 1)
				if err != nil {
					t.Errorf("receive: %v", err)
				}
				got <- jobs
			}()
			<-done
			begun := time.Now()
			if what == "request" {
				// Where the end was lost, no pull would be there for it until the next one.
				enqueue(t, d, q, message("job"))
			} else {
				time.AfterFunc(time.Second, func() { enqueue(t, d, q, message("job")) })
			}
			if jobs := <-got; len(jobs) != 1 || time.Since(begun) > 2*seconds {
				t.Errorf("%d jobs were received after %s", len(jobs), time.Since(begun))
			}
		})
	}
}

// TestFrozenNode freezes the server of a cluster that has the queue's consumer, and the
// client is connected to another one: another server takes over, and the consumer that
// waits gets what comes then.
func TestFrozenNode(t *testing.T) {
	t.Parallel()
	cluster := brokers.NewNATSCluster(t, brokers.NATS2)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute) // nothing waits for so long but on a busy machine
	defer cancel()
	d := openURL(t, harness(cluster.URL(), "").URL)
	q := declare(t, d)
	js := rawJetStream(t, cluster.URL())
	name := ""
	for name == "" { // while the cluster chooses one there is none
		jobs, err := js.Consumer(ctx, "batch-"+q, "jobs")
		if err != nil {
			t.Fatal(err)
		}
		if info := jobs.CachedInfo(); info.Cluster != nil {
			name = info.Cluster.Leader
		}
	}
	leader := int(strings.TrimPrefix(name, "node-")[0] - '1')
	// The driver is connected to a server that goes on.
	other := openURL(t, cluster.Nodes[(leader+1)%3].URL())
	c := consume(t, other, q, 30*time.Second)
	type received struct {
		jobs []*driver.Delivery
		err  error
	}
	got := make(chan received, 1)
	receiving := make(chan struct{})
	go func() {
		close(receiving)
		for {
			jobs, err := c.Receive(ctx, 1)
			if err == nil || ctx.Err() != nil {
				got <- received{jobs, err}
				return
			}
		}
	}()
	<-receiving
	thaw, err := cluster.Nodes[leader].Freezer(t)(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer thaw()
	begun := time.Now()
	for stored := false; !stored; {
		once, cancel := context.WithTimeout(ctx, 5*time.Second)
		results := other.Enqueue(once, q, []*driver.Message{message("job")})
		stored = results == nil || results[0].Err == nil
		cancel()
		if ctx.Err() != nil {
			t.Fatalf("nothing can be stored: %v", results[0].Err)
		}
	}
	stored := time.Since(begun)
	r := <-got
	if r.err != nil || len(r.jobs) != 1 {
		t.Fatalf("received %d jobs, %v", len(r.jobs), r.err)
	}
	t.Logf("stored %s after the freeze, received %s after", stored, time.Since(begun))
	if late := time.Since(begun) - stored; late > 3*seconds {
		t.Errorf("the job was received %s after it was stored", late)
	}
}
