package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/internal/fsyncs"
)

// syncs is how often this process syncs a file to the disk while do runs. The server syncs now and then too, so the
// least of three is taken.
func syncs(t *testing.T, do func()) float64 {
	t.Helper()
	least := math.Inf(1)
	for range 3 {
		c, err := fsyncs.Start(fsyncs.Own)
		if errors.Is(err, errors.ErrUnsupported) && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
		do()
		n, err := c.Stop()
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, float64(n))
	}
	return least
}

// jobs are n messages.
func jobs(n int) []*driver.Message {
	all := make([]*driver.Message, n)
	for i := range all {
		all[i] = message(fmt.Sprint(i))
	}
	return all
}

// synced is a server with a queue whose syncs are counted.
type synced struct {
	t *testing.T
	d *embedded.Driver
	c driver.Consumer
}

// newSynced starts the server.
func newSynced(t *testing.T, options embedded.Options) *synced {
	t.Helper()
	ctx := testContext(t)
	d, err := embedded.New(ctx, t.TempDir(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close(context.Background()) }) // the folder goes
	for _, q := range []string{"q", "handled"} {
		if err := d.Declare(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	c, err := d.Consume(ctx, "handled", driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 500})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) }) // likewise
	return &synced{t, d, c}
}

// enqueue stores n jobs in one call.
func (s *synced) enqueue(queue string, n int) {
	for _, r := range s.d.Enqueue(testContext(s.t), queue, jobs(n)) {
		if r.Err != nil {
			s.t.Fatal(r.Err)
		}
	}
}

// atomic stores n jobs or none.
func (s *synced) atomic(n int) {
	if err := s.d.EnqueueAtomic(testContext(s.t), "q", jobs(n)); err != nil {
		s.t.Fatal(err)
	}
}

// handle stores n jobs in one call, and has them received and done.
func (s *synced) handle(n int) {
	ctx := testContext(s.t)
	s.enqueue("handled", n)
	for n > 0 {
		got, err := s.c.Receive(ctx, n)
		if err != nil {
			s.t.Fatal(err)
		}
		var all []driver.Settlement
		for _, d := range got {
			all = append(all, driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone})
		}
		if errs := s.c.Settle(ctx, all); errs != nil {
			s.t.Fatal(errs)
		}
		n -= len(got)
	}
}

// TestSyncs holds how often a call syncs to the disk. With SyncAlways, what is accepted was synced before, and many
// jobs share what they can. Without, no call waits for the disk, but for the files that the server makes and syncs for
// an atomic batch, whatever it was told. To remove a job is a sync of the server with SyncAlways, and the state of a
// consumer some now and then.
func TestSyncs(t *testing.T) {
	type budget struct{ least, most float64 }
	for _, mode := range []struct {
		name    string
		options embedded.Options
		budgets [6]budget
	}{
		{"always", embedded.Options{SyncAlways: true}, [...]budget{{1, 1}, {15, 15}, {1, 6}, {1, 6}, {1, 6}, {1, 550}}},
		{"interval", embedded.Options{SyncInterval: 10 * time.Minute}, [...]budget{{}, {}, {}, {}, {0, 5}, {}}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			s := newSynced(t, mode.options)
			for i, call := range []struct {
				name string
				do   func()
			}{
				{"one", func() { s.enqueue("q", 1) }},
				{"fifteen", func() { s.enqueue("q", 15) }},
				{"sixteen", func() { s.enqueue("q", 16) }},
				{"five hundred", func() { s.enqueue("q", 500) }},
				{"five hundred or none", func() { s.atomic(500) }},
				{"five hundred that are handled", func() { s.handle(500) }},
			} {
				call.do() // the first makes files
				got, want := syncs(t, call.do), mode.budgets[i]
				t.Logf("%s: %.0f syncs", call.name, got)
				if got < want.least || got > want.most {
					t.Errorf("%s: %.0f syncs, want %.0f to %.0f", call.name, got, want.least, want.most)
				}
			}
		})
	}
}
