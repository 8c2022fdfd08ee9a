package prombatch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

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

func TestNewDepthsRefuses(t *testing.T) {
	for name, config := range map[string]prombatch.DepthConfig{
		"no queues":  {},
		"a bad name": {Queues: []string{"a b"}},
		"a timeout":  {Queues: []string{"a"}, Timeout: time.Hour},
		"a cache":    {Queues: []string{"a"}, CacheFor: -1},
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
