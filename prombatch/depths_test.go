package prombatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/prombatch"
)

// telling is a broker that tells a depth for each queue, and does not answer about those that it does not know.
type telling struct {
	driver.Driver
	depths map[string]driver.Depth
}

func (d *telling) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	depth, ok := d.depths[queue]
	if !ok {
		<-ctx.Done()
		return driver.Depth{}, &driver.Error{Driver: "telling", Op: "depth", Queue: queue, Kind: driver.ErrUnavailable, Err: ctx.Err()}
	}
	return depth, nil
}

func TestDepths(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "mails")
	enqueue(t, q, Mail{}, Mail{})
	if _, err := q.Enqueue(t.Context(), Mail{}, batch.Delay(q, time.Hour)); err != nil {
		t.Fatal(err)
	}
	got := gather(t, prombatch.NewDepths(d, prombatch.DepthConfig{Queues: []string{"mails"}}))
	got.expect(t, samples{
		"batch_queue_up{queue=mails}":                   1,
		"batch_queue_jobs{queue=mails,state=waiting}":   2,
		"batch_queue_jobs{queue=mails,state=scheduled}": 1,
		"batch_queue_jobs{queue=mails,state=running}":   0,
		"batch_queue_jobs{queue=mails,state=dead}":      0,
		"batch_queue_due_jobs{queue=mails}":             0,
		"batch_queue_backlog_jobs{queue=mails}":         2,
	})
	if _, is := got["batch_queue_oldest_waiting_seconds{queue=mails}"]; !is {
		t.Error("there is no age")
	}
}

// What the broker cannot tell is absent. A queue of which it tells nothing does not keep the others back for longer than
// the timeout.
func TestUnknownIsAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const unknown = driver.UnknownCount
		d := &telling{depths: map[string]driver.Depth{"rabbit": {Waiting: 5, Scheduled: 2, Due: unknown, Running: unknown, Age: driver.UnknownAge}}}
		c := prombatch.NewDepths(d, prombatch.DepthConfig{Queues: []string{"away", "rabbit"}, Timeout: time.Second, CacheFor: time.Minute})
		start := time.Now()
		got := gather(t, c)
		if took := time.Since(start); took != time.Second {
			t.Errorf("scrapes took %s in all, want one timeout", took)
		}
		got.expect(t, samples{
			"batch_queue_up{queue=rabbit}":                   1,
			"batch_queue_jobs{queue=rabbit,state=waiting}":   5,
			"batch_queue_jobs{queue=rabbit,state=scheduled}": 2,
			"batch_queue_backlog_jobs{queue=rabbit}":         6,
			"batch_queue_up{queue=away}":                     0,
		})
		got.absent(t, "batch_queue_jobs{queue=away", "batch_queue_due_jobs", "batch_queue_backlog_jobs{queue=away}",
			"batch_queue_oldest_waiting_seconds", "batch_queue_jobs{queue=rabbit,state=running}")
	})
}

// Two brokers, with a queue of the same name each, go into one registry.
func TestTwoBrokers(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for i, broker := range []string{"left", "right"} {
		d, m := memory.New(), prombatch.New(prombatch.Config{})
		q := batch.NewQueue(d, "mails", batch.WithHooks(m))
		enqueue(t, q, slices.Repeat([]batch.Args{Mail{}}, i+1)...)
		depths := prombatch.NewDepths(d, prombatch.DepthConfig{Queues: []string{"mails"}})
		prometheus.WrapRegistererWith(prometheus.Labels{"broker": broker}, registry).MustRegister(m, depths)
	}
	samplesOf(t, registry).expect(t, samples{
		"batch_queue_jobs{broker=left,queue=mails,state=waiting}":                1,
		"batch_queue_jobs{broker=right,queue=mails,state=waiting}":               2,
		"batch_enqueues_total{broker=right,kind=mail,queue=mails,result=stored}": 2,
	})
}

// Scrapes at the same time ask a broker once, also if it does not answer, and one that hangs beyond its time does not
// keep a scrape.
func TestScrapesAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &hanging{Driver: memory.New(), release: make(chan struct{})}
		names := make([]string, 100)
		for i := range names {
			names[i] = fmt.Sprint("q", i)
		}
		c := prombatch.NewDepths(d, prombatch.DepthConfig{Queues: names, Timeout: time.Second, CacheFor: time.Millisecond})
		registry := prometheus.NewRegistry()
		registry.MustRegister(c)
		for range 2 {
			var all sync.WaitGroup
			for range 20 {
				all.Go(func() {
					start := time.Now()
					got := samplesOf(t, registry)
					if took := time.Since(start); took > time.Second || got["batch_queue_up{queue=q99}"] != 0 {
						t.Errorf("after %s a broker that does not answer is up: %v", took, got["batch_queue_up{queue=q99}"])
					}
				})
			}
			all.Wait()
			time.Sleep(time.Minute)
		}
		if n := d.calls.Load(); n > 8 {
			t.Errorf("%d calls hang at the broker, want those of one look", n)
		}
		close(d.release)
		synctest.Wait()
		if got := samplesOf(t, registry); got["batch_queue_up{queue=q0}"] != 1 {
			t.Error("a broker that answers again is not up")
		}
	})
}

// hanging is a driver whose calls do not end with their contexts.
type hanging struct {
	driver.Driver
	calls   atomic.Int64
	release chan struct{}
}

func (d *hanging) Depth(context.Context, string) (driver.Depth, error) {
	d.calls.Add(1)
	<-d.release
	return driver.Depth{}, nil
}

func TestNewDepthsRefuses(t *testing.T) {
	for name, config := range map[string]prombatch.DepthConfig{
		"no queues":     {},
		"a queue twice": {Queues: []string{"a", "b", "a"}},
		"a bad name":    {Queues: []string{"a b"}},
		"a timeout":     {Queues: []string{"a"}, Timeout: time.Hour},
		"a cache":       {Queues: []string{"a"}, CacheFor: -1},
	} {
		if _, err := prombatch.TryNewDepths(memory.New(), config); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("NewDepths did not panic")
		}
	}()
	prombatch.NewDepths(nil, prombatch.DepthConfig{Queues: []string{"a"}})
}
