package health_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
)

// refusing is a broker that can refuse connections, which takes no time.
type refusing struct {
	*memory.Driver
	down   atomic.Bool
	depths atomic.Int64
}

func (r *refusing) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	r.depths.Add(1)
	if r.down.Load() {
		return driver.Depth{}, &driver.Error{Driver: "refusing", Op: "depth", Queue: queue, Kind: driver.ErrUnavailable, Err: errors.New("connection refused")}
	}
	return r.Driver.Depth(ctx, queue)
}

// watched is a worker that runs, with some checks.
func watched(t *testing.T, d batch.Driver, configs ...health.Config) (w *batch.Worker, checks []*health.Check) {
	t.Helper()
	config := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "mail"}}, Log: slog.New(slog.DiscardHandler)}
	for _, c := range configs {
		checks = append(checks, health.Watch(d, &config, c))
	}
	w = batch.NewWorker(d, config)
	batch.Handle(w, done)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return w, checks
}

// A broker that refuses at once is not asked by each probe, and that it is back is known soon.
func TestProbesOfABrokerThatRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &refusing{Driver: memory.New()}
		w, checks := watched(t, d, health.Config{Patience: 30 * time.Second})
		ready := checks[0].Ready(w)
		d.down.Store(true)
		time.Sleep(time.Minute)
		for range 10 { // seconds
			var all sync.WaitGroup
			for range 100 {
				all.Go(func() {
					if code, r := ask[health.Readiness](t, ready); code != 503 || r.BrokerError == "" {
						t.Errorf("%d %+v", code, r)
					}
				})
			}
			all.Wait()
			time.Sleep(time.Second)
		}
		if n := d.depths.Load(); n < 3 || n > 4 {
			t.Errorf("a thousand probes in 10 s asked the broker %d times, want once in 3 s", n)
		}
		d.down.Store(false)
		time.Sleep(3 * time.Second)
		if code, r := ask[health.Readiness](t, ready); code != 200 {
			t.Errorf("when it is back: %d %+v", code, r)
		}
	})
}

// Checks of one worker do not take each other's runs for theirs.
func TestTwoChecksOfAWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		w, checks := watched(t, d, health.Config{}, health.Config{MaxStuck: 5})
		if _, err := batch.NewQueue(d, "mail").Enqueue(t.Context(), Mail{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		for i, check := range checks {
			if code, l := ask[health.Liveness](t, check.Live(w)); code != 200 {
				t.Errorf("check %d, long after the only job: %d %+v", i+1, code, l)
			}
		}
	})
}

// A probe without a worker is found when it is made.
func TestProbesOfNoWorker(t *testing.T) {
	check := health.Watch(memory.New(), &batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "mail"}}}, health.Config{})
	for name, probe := range map[string]func(){"live": func() { check.Live(nil) }, "ready": func() { check.Ready(nil) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s took no worker", name)
				}
			}()
			probe()
		}()
	}
}
