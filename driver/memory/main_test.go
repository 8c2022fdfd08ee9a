package memory

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/leak"
)

// TestMain fails the run if a goroutine is left.
func TestMain(m *testing.M) { leak.Main(m) }

// rig is a handle with one declared queue, and what tests do with it.
type rig struct {
	testing.TB
	d *Driver
	c driver.Consumer
}

const testLease = 10 * time.Second

func newRig(t testing.TB, options Options) *rig {
	t.Helper()
	b, err := NewBroker(options)
	if err != nil {
		t.Fatal(err)
	}
	return openRig(t, b)
}

func openRig(t testing.TB, b *Broker) *rig {
	t.Helper()
	d, err := b.Open()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{TB: t, d: d}
	r.ok(d.Declare(t.Context(), "q"))
	r.c = r.consume(testLease)
	t.Cleanup(func() { _ = d.Close(context.Background()) })
	return r
}

func (r *rig) ok(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// is fails unless err wraps kind and says that nothing was stored.
func (r *rig) is(err, kind error) {
	r.Helper()
	if !errors.Is(err, kind) {
		r.Fatalf("got error %v, want one that is %v", err, kind)
	}
	if fate := driver.FateOf(err); fate != driver.FateNotStored {
		r.Fatalf("error %v has fate %q, want %q", err, fate, driver.FateNotStored)
	}
}

func (r *rig) consume(lease time.Duration) driver.Consumer {
	r.Helper()
	c, err := r.d.Consume(r.Context(), "q", driver.ConsumeOptions{Lease: lease, Prefetch: 10})
	r.ok(err)
	return c
}

func message(id string) *driver.Message {
	return &driver.Message{ID: id, Kind: "k", Body: []byte(id), ContentType: "text/plain"}
}

// add enqueues a job and expects it stored.
func (r *rig) add(id string, change ...func(*driver.Message)) {
	r.Helper()
	if res := r.try(id, change...); res.Err != nil || res.Duplicate {
		r.Fatalf("enqueue of %s: %+v", id, res)
	}
}

func (r *rig) try(id string, change ...func(*driver.Message)) driver.Result {
	r.Helper()
	m := message(id)
	for _, f := range change {
		f(m)
	}
	if results := r.d.Enqueue(r.Context(), "q", []*driver.Message{m}); results != nil {
		return results[0]
	}
	return driver.Result{}
}

func level(l driver.Level) func(*driver.Message)  { return func(m *driver.Message) { m.Level = l } }
func group(g string) func(*driver.Message)        { return func(m *driver.Message) { m.Group = g } }
func key(k string) func(*driver.Message)          { return func(m *driver.Message) { m.DedupKey = k } }
func delay(d time.Duration) func(*driver.Message) { return func(m *driver.Message) { m.Delay = d } }
func body(n int) func(*driver.Message)            { return func(m *driver.Message) { m.Body = make([]byte, n) } }
func ids(deliveries []*driver.Delivery) (s []string) {
	for _, d := range deliveries {
		s = append(s, d.ID)
	}
	return s
}

// get receives what there is, up to max, and expects these jobs.
func (r *rig) get(max int, want ...string) []*driver.Delivery {
	r.Helper()
	got, err := r.c.Receive(r.Context(), max)
	r.ok(err)
	if !slices.Equal(ids(got), want) {
		r.Fatalf("received %v, want %v", ids(got), want)
	}
	return got
}

// none expects that nothing can be received now. It is for synctest, where the
// deadline passes only when nothing else can happen.
func (r *rig) none() {
	r.Helper()
	ctx, cancel := context.WithTimeout(r.Context(), time.Nanosecond)
	defer cancel()
	got, err := r.c.Receive(ctx, 1)
	if !errors.Is(err, context.DeadlineExceeded) {
		r.Fatalf("received %v, %v; want nothing", ids(got), err)
	}
}

// settle settles one delivery.
func (r *rig) settle(d *driver.Delivery, s driver.Settlement) error {
	s.Delivery = d
	if errs := r.c.Settle(r.Context(), []driver.Settlement{s}); errs != nil {
		return errs[0]
	}
	return nil
}

func (r *rig) end(d *driver.Delivery, o driver.Outcome) {
	r.Helper()
	r.ok(r.settle(d, driver.Settlement{Outcome: o, Reason: driver.ReasonPermanent}))
}

func (r *rig) depth(waiting, scheduled, running, dead int64) {
	r.Helper()
	got, err := r.d.Depth(r.Context(), "q")
	r.ok(err)
	if got.Waiting == 0 && got.Age != 0 {
		r.Fatalf("an age of %s, and nothing waits", got.Age)
	}
	got.Age = 0 // see TestAge and the model
	if want := (driver.Depth{Waiting: waiting, Scheduled: scheduled, Running: running, Dead: dead}); got != want {
		r.Fatalf("depth %+v, want %+v", got, want)
	}
}

// history checks a delivery's counts.
func (r *rig) history(d *driver.Delivery, failures, deliveries, redeliveries int) {
	r.Helper()
	if d.Failures != failures || d.Deliveries != deliveries || d.Redeliveries != redeliveries {
		r.Fatalf("job %s: failures %d, deliveries %d, redeliveries %d; want %d, %d, %d",
			d.ID, d.Failures, d.Deliveries, d.Redeliveries, failures, deliveries, redeliveries)
	}
}
