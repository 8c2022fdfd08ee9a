package nats_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/late"
)

const (
	// callTime is the deadline that the calls get.
	callTime = 300 * time.Millisecond
	// overtime is how long after its deadline a call may return.
	overtime = 100 * time.Millisecond
)

// inTime makes all calls at once, each with a deadline, and demands that they keep it.
func inTime(t *testing.T, all map[string]func(ctx context.Context) error) {
	t.Helper()
	took := make(map[string]time.Duration)
	var mu sync.Mutex
	lateness := late.During(func() {
		var calls sync.WaitGroup
		for what, call := range all {
			calls.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), callTime)
				defer cancel()
				begun := time.Now()
				_ = call(ctx) // whether it can succeed depends on the fault
				mu.Lock()
				defer mu.Unlock()
				took[what] = time.Since(begun)
			})
		}
		calls.Wait()
	})
	for what, d := range took {
		if d > callTime+overtime+late.Steps*lateness {
			t.Errorf("%s took %s with a deadline of %s, on a machine that is %s late", what, d, callTime, lateness)
		}
	}
}

// faultCalls are the calls of a driver and of a consumer that holds two jobs.
func faultCalls(d *nats.Driver, c driver.Consumer, q string, held []*driver.Delivery) map[string]func(context.Context) error {
	all := map[string]func(context.Context) error{
		"declare":     func(ctx context.Context) error { return d.Declare(ctx, q) },
		"list queues": func(ctx context.Context) error { _, err := d.ListQueues(ctx); return err },
		"receive":     func(ctx context.Context) error { _, err := c.Receive(ctx, 10); return err },
		"extend":      func(ctx context.Context) error { return errors.Join(c.Extend(ctx, held)...) },
		"abandon":     func(ctx context.Context) error { c.Abandon(ctx, held[2:]); return nil },
		"enqueue much": func(ctx context.Context) error {
			// More than the system keeps for a server that does not read.
			many := make([]*driver.Message, 40)
			for i := range many {
				many[i] = message(fmt.Sprint("large-", i))
				many[i].Body = make([]byte, 256<<10)
			}
			for _, r := range d.Enqueue(ctx, q, many) {
				if r.Err != nil {
					return r.Err
				}
			}
			return nil
		},
	}
	for i, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead} {
		all["settle "+outcome.String()] = func(ctx context.Context) error {
			return errors.Join(c.Settle(ctx, []driver.Settlement{{Delivery: held[i], Outcome: outcome, Reason: driver.ReasonPermanent}})...)
		}
	}
	for what, call := range calls(d) {
		all[what] = func(ctx context.Context) error { return call(ctx, q) }
	}
	return all
}

// TestDeadlines: whatever happens to the server, every call returns when its ctx ends:
// right then, while the connection is being made again, and when it is closed.
func TestDeadlines(t *testing.T) {
	for fault, strike := range map[string]func(t *testing.T, ts *testServer, r *relay) (mend func()){
		"swallowed": func(_ *testing.T, _ *testServer, r *relay) func() { r.swallow(); return r.pass },
		"swallowed and reset": func(_ *testing.T, _ *testServer, r *relay) func() {
			r.swallow()
			r.reset() // it connects anew, and nobody answers
			return r.pass
		},
		"frozen": func(t *testing.T, ts *testServer, _ *relay) func() {
			thaw, err := ts.Freezer(t)(testContext(t))
			if err != nil {
				t.Fatal(err)
			}
			return thaw
		},
		"killed": func(t *testing.T, ts *testServer, _ *relay) func() {
			if err := ts.Kill(testContext(t)); err != nil {
				t.Fatal(err)
			}
			return func() {}
		},
	} {
		t.Run(fault, func(t *testing.T) {
			ts := startServer(t)
			r := startRelay(t, ts.url())
			d, err := nats.Open(testContext(t), r.url())
			if err != nil {
				t.Fatal(err)
			}
			q := declare(t, d)
			var jobs []*driver.Message
			for i := range 5 {
				jobs = append(jobs, message(fmt.Sprint("job-", i)))
			}
			enqueue(t, d, q, jobs...)
			c := consume(t, d, q, 30*time.Second)
			held := receive(t, c, len(jobs))
			all := faultCalls(d, c, q, held)
			<-r.accepted
			defer strike(t, ts, r)()
			inTime(t, all)
			if fault != "swallowed" && fault != "frozen" {
				<-r.accepted // it is being made anew
			}
			inTime(t, all)
			inTime(t, map[string]func(context.Context) error{"stop": c.Stop})
			inTime(t, map[string]func(context.Context) error{"close a consumer": c.Close})
			inTime(t, map[string]func(context.Context) error{"close": d.Close})
			inTime(t, map[string]func(context.Context) error{
				"open":          func(ctx context.Context) error { return opened(nats.Open(ctx, r.url())) },
				"open over TLS": func(ctx context.Context) error { return opened(nats.Open(ctx, "tls"+r.url()[len("nats"):])) },
			})
		})
	}
}

// TestOpenUnreachable: a host that drops what is sent to it.
func TestOpenUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	inTime(t, map[string]func(context.Context) error{
		"open where nobody accepts": func(ctx context.Context) error {
			_, err := nats.Open(ctx, "nats://192.0.2.1:4222") // RFC 5737: nobody has it
			return err
		},
		"open where nobody greets": func(ctx context.Context) error {
			_, err := nats.Open(ctx, "nats://"+l.Addr().String())
			return err
		},
	})
}

// opened closes a driver that was opened after all.
func opened(d *nats.Driver, err error) error {
	if err != nil {
		return err
	}
	return d.Close(context.Background())
}
