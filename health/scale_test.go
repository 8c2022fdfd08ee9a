package health_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
)

func TestScale(t *testing.T) {
	ctx := t.Context()
	d := memory.New()
	q := batch.NewQueue(d, "mail")
	for range 3 {
		if _, err := q.Enqueue(ctx, Mail{}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := q.Enqueue(ctx, Mail{}, batch.Delay(q, time.Hour)); err != nil {
		t.Fatal(err)
	}
	c, err := d.Consume(ctx, "mail", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if got, err := c.Receive(ctx, 1); err != nil || len(got) != 1 {
		t.Fatalf("received %d jobs, %v", len(got), err)
	}
	if err := batch.NewQueue(d, "empty").Declare(ctx); err != nil {
		t.Fatal(err)
	}
	code, load := ask[health.Load](t, health.Scale(d, health.ScaleConfig{Queues: []string{"mail", "empty"}}))
	if code != 200 {
		t.Errorf("the status is %d", code)
	}
	mail := load.Queues["mail"]
	for name, n := range map[string]struct {
		got  *int64
		want int64
	}{
		"backlog": {mail.Backlog, 2}, "demand": {mail.Demand, 3}, "waiting": {mail.Waiting, 2}, "scheduled": {mail.Scheduled, 1},
		"running": {mail.Running, 1}, "dead": {mail.Dead, 0}, "due": {mail.Due, 0},
		"backlog of the empty queue": {load.Queues["empty"].Backlog, 0},
		"total backlog":              {load.Total.Backlog, 2}, "total demand": {load.Total.Demand, 3},
	} {
		if n.got == nil || *n.got != n.want {
			t.Errorf("%s is %s, want %d", name, show(n.got), n.want)
		}
	}
	if mail.AgeSeconds == nil || mail.Error != "" {
		t.Errorf("age %v, error %q", mail.AgeSeconds, mail.Error)
	}
}

// show is a number or null.
func show(n *int64) string {
	if n == nil {
		return "null"
	}
	return fmt.Sprint(*n)
}

// telling is a broker that tells a depth, or an error, for each queue.
type telling struct {
	driver.Driver
	depths map[string]driver.Depth
}

func (d *telling) Depth(_ context.Context, queue string) (driver.Depth, error) {
	depth, ok := d.depths[queue]
	if !ok {
		return driver.Depth{}, &driver.Error{Driver: "telling", Op: "depth", Queue: queue, Kind: driver.ErrNotFound}
	}
	return depth, nil
}

// What a broker cannot tell is null in the JSON, at its place, and what is null in one queue is null in the sum.
func TestScaleTellsWhatIsUnknown(t *testing.T) {
	const unknown = driver.UnknownCount
	d := &telling{depths: map[string]driver.Depth{
		"rabbit": {Waiting: 5, Scheduled: 2, Due: unknown, Running: unknown, Age: driver.UnknownAge},
		"other":  {Waiting: 1, Running: 1, Age: time.Second},
	}}
	answer := func(queues ...string) (int, string) {
		r := httptest.NewRecorder()
		health.Scale(d, health.ScaleConfig{Queues: queues}).ServeHTTP(r, httptest.NewRequest(http.MethodGet, "/", nil))
		return r.Code, strings.TrimSpace(r.Body.String())
	}
	const rabbit = `"rabbit":{"backlog":6,"demand":null,"waiting":5,"due":null,"scheduled":2,"running":null,"dead":0,"age_seconds":null}`
	for _, test := range []struct {
		queues []string
		status int
		want   string
	}{
		{[]string{"rabbit"}, 200, `{"queues":{` + rabbit + `},"total":{"backlog":6,"demand":null}}`},
		{[]string{"other", "rabbit"}, 200, `{"queues":{"other":{"backlog":1,"demand":2,"waiting":1,"due":0,"scheduled":0,"running":1,"dead":0,"age_seconds":1},` + rabbit + `},"total":{"backlog":7,"demand":null}}`},
		{[]string{"none"}, 503, `{"queues":{"none":{"backlog":null,"demand":null,"waiting":null,"due":null,"scheduled":null,"running":null,"dead":null,"age_seconds":null,"error":"telling: depth on queue none: not found"}},"total":{"backlog":null,"demand":null}}`},
	} {
		if status, body := answer(test.queues...); status != test.status || body != test.want {
			t.Errorf("%q: %d %s\nwant %d %s", test.queues, status, body, test.status, test.want)
		}
	}
	if status, body := answer("none", "other"); status != 200 || !strings.HasSuffix(body, `"total":{"backlog":null,"demand":null}}`) {
		t.Errorf("with one queue that is there: %d %s", status, body)
	}
}

// A broker that is away is asked by one of all probes at a time, and each has its answer within Timeout.
func TestScaleOfABrokerThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		f.away.Store(true)
		h := health.Scale(f, health.ScaleConfig{Queues: []string{"mail"}, Timeout: time.Second, CacheFor: 5 * time.Second})
		var all sync.WaitGroup
		for i := range 200 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 30 * time.Millisecond)
				start := time.Now()
				code, load := ask[health.Load](t, h)
				if took := time.Since(start); took > time.Second || code != 503 || load.Total.Backlog != nil || load.Queues["mail"].Error == "" {
					t.Errorf("after %s: %d %+v", took, code, load)
				}
			})
		}
		all.Wait()
		if n := f.depths.Load(); n != 1 {
			t.Errorf("200 requests in 6 seconds asked the broker %d times, want once", n)
		}
	})
}

func TestScaleRefuses(t *testing.T) {
	d := memory.New()
	for name, config := range map[string]health.ScaleConfig{
		"no queues":    {},
		"twice":        {Queues: []string{"a", "a"}},
		"a bad name":   {Queues: []string{"a b"}},
		"a timeout":    {Queues: []string{"a"}, Timeout: time.Hour},
		"a negative":   {Queues: []string{"a"}, Timeout: -1},
		"a cache time": {Queues: []string{"a"}, CacheFor: 2 * time.Hour},
	} {
		if _, err := health.TryScale(d, config); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	if _, err := health.TryScale(nil, health.ScaleConfig{Queues: []string{"a"}}); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("no driver: %v, want ErrInvalid", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("Scale did not panic")
		}
	}()
	health.Scale(d, health.ScaleConfig{})
}
