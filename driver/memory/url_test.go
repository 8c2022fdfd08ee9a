package memory

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestOpenByURL(t *testing.T) {
	r := &rig{TB: t}
	ctx := t.Context()
	a, err := Open(ctx, "memory://")
	r.ok(err)
	b, err := Open(ctx, "memory://")
	r.ok(err)
	if a.Broker() == b.Broker() {
		t.Fatal("memory:// twice is one broker")
	}
	if a.Broker().options != (Options{}).withDefaults() {
		t.Fatalf("options %+v", a.Broker().options)
	}
	r.ok(a.Close(ctx))
	r.ok(b.Close(ctx))

	a, err = Open(ctx, "memory://shared?max_jobs=7&max_bytes=2000000&dedup_window=1m")
	r.ok(err)
	if want := (Options{MaxBytes: 2_000_000, MaxJobs: 7, DedupWindow: time.Minute}); a.Broker().options != want || a.DedupWindow() != time.Minute {
		t.Fatalf("options %+v", a.Broker().options)
	}
	b, err = Open(ctx, "memory://shared")
	r.ok(err)
	c, err := Open(ctx, "memory://shared?max_jobs=7")
	r.ok(err)
	for _, query := range []string{"max_jobs=8", "max_bytes=2000001", "dedup_window=2m"} {
		_, err = Open(ctx, "memory://shared?"+query)
		r.is(err, driver.ErrConfig)
	}
	r.ok(a.Declare(ctx, "q"))
	r.ok(a.Close(ctx))
	a.Broker().Crash()
	if _, err := b.Depth(ctx, "q"); err == nil {
		t.Fatal("a crash left a handle")
	}
	r.ok(c.Close(ctx))
	d, err := Open(ctx, "memory://shared")
	r.ok(err)
	_, err = d.Depth(ctx, "q")
	r.ok(err)
	r.ok(b.Close(ctx))
	r.ok(d.Close(ctx))

	// The last handle took the broker with it.
	_, err = d.Broker().Open()
	r.is(err, driver.ErrClosed)
	e, err := Open(ctx, "memory://shared")
	r.ok(err)
	_, err = e.Depth(ctx, "q")
	r.is(err, driver.ErrNotFound)
	r.ok(e.Close(ctx))
	if len(named.brokers) != 0 {
		t.Fatal("names are kept")
	}
}

func TestOpenRefuses(t *testing.T) {
	r := &rig{TB: t}
	for _, url := range []string{
		"memory://?max_job=1", "memory://?max_jobs=0", "memory://?max_jobs=x", "memory://?max_bytes=10",
		"memory://?dedup_window=0s", "memory://?dedup_window=1000h", "memory://a/b", "memory://u:p@a",
		"memory://a:80", "memory:a", "memory://#x", "redis://a", "memory://%zz",
	} {
		t.Run(url, func(t *testing.T) {
			_, err := Open(t.Context(), url)
			r.is(err, driver.ErrConfig)
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Open(ctx, "memory://")
	r.is(err, context.Canceled)
	for _, o := range []Options{{MaxBytes: 1}, {MaxBytes: -1}, {MaxJobs: -1}, {DedupWindow: -1}, {DedupWindow: 1}} {
		_, err := NewBroker(o)
		r.is(err, driver.ErrConfig)
	}
}

func TestRegistered(t *testing.T) {
	reg, u, err := driver.Lookup("memory://")
	if err != nil {
		t.Fatal(err)
	}
	d, err := reg.Open(t.Context(), u)
	if err != nil || d.Info().Driver != reg.Name {
		t.Fatal(d, err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	u.RawQuery = "x=y"
	if d, err := reg.Open(t.Context(), u); d != nil || err == nil {
		t.Fatal("an error with a driver that is not nil")
	}
}

func TestInfo(t *testing.T) {
	d := New()
	defer d.Close(t.Context())
	l := d.Info().Limits
	for name, ok := range map[string]bool{
		"bytes hold a message": l.EnqueueBytes >= l.MaxBody+l.MaxHeaders,
		"all set": l.MaxBody > 0 && l.MaxHeaders > 0 && l.EnqueueBatch > 0 && l.Publishers > 0 && l.ReceiveBatch > 0 &&
			l.Receivers > 0 && l.SettleBatch > 0 && l.ExtendBatch > 0 && l.MinLease > 0 && l.MaxLease > l.MinLease && l.MaxRetryDelay > 0,
		"a year of delay": d.MaxDelay() >= 366*24*time.Hour,
		"five levels":     d.PriorityLevels() == 5,
		"groups":          d.MaxGroups() == 0,
		"atomic":          d.AtomicLimit() == l.EnqueueBatch,
		"window":          d.DedupWindow() == defaultDedupWindow,
	} {
		if !ok {
			t.Errorf("%s: %+v", name, l)
		}
	}
}

// Portable has no capability, in its type and in what it takes.
func TestPortable(t *testing.T) {
	var d driver.Driver = NewPortable()
	if _, ok := d.(driver.Prioritizer); ok {
		t.Error("Portable is a Prioritizer")
	}
	if _, ok := d.(driver.Delayer); ok {
		t.Error("Portable is a Delayer")
	}
	if _, ok := d.(driver.Deduplicator); ok {
		t.Error("Portable is a Deduplicator")
	}
	if _, ok := d.(driver.Grouper); ok {
		t.Error("Portable is a Grouper")
	}
	if _, ok := d.(driver.AtomicEnqueuer); ok {
		t.Error("Portable is an AtomicEnqueuer")
	}
	if _, ok := d.(driver.Inspector); ok {
		t.Error("Portable is an Inspector")
	}
	if _, ok := d.(driver.Pauser); ok {
		t.Error("Portable is a Pauser")
	}
	r := &rig{TB: t}
	ctx := t.Context()
	r.ok(d.Declare(ctx, "q"))
	for _, change := range []func(*driver.Message){level(driver.High), delay(1), key("k"), group("g")} {
		m := message("x")
		change(m)
		for _, res := range d.Enqueue(ctx, "q", []*driver.Message{message("ok"), m}) {
			r.is(res.Err, driver.ErrUnsupported)
		}
	}
	if res := d.Enqueue(ctx, "q", []*driver.Message{message("a"), message("b")}); res != nil {
		t.Fatal(res)
	}
	c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: time.Second})
	r.ok(err)
	got, err := c.Receive(ctx, 10)
	r.ok(err)
	for i, o := range []driver.Outcome{driver.OutcomeDead, driver.OutcomeDead} {
		if errs := c.Settle(ctx, []driver.Settlement{{Delivery: got[i], Outcome: o}}); errs != nil {
			t.Fatal(errs)
		}
	}
	dead, _, err := d.DeadLetters(ctx, "q", "", 10)
	r.ok(err)
	redriven, err := d.Redrive(ctx, "q", driver.Selection{IDs: []string{"a"}})
	r.ok(err)
	discarded, err := d.Discard(ctx, "q", driver.Selection{All: true})
	r.ok(err)
	depth, err := d.Depth(ctx, "q")
	r.ok(err)
	depth.Age = 0
	if len(dead) != 2 || redriven != 1 || discarded != 1 || depth != (driver.Depth{Waiting: 1}) {
		t.Fatalf("%d dead, %d redriven, %d discarded, %+v", len(dead), redriven, discarded, depth)
	}
	b := d.(*Portable).Broker()
	b.Crash()
	p, err := b.OpenPortable()
	r.ok(err)
	r.ok(p.DeleteQueue(ctx, "q"))
	r.ok(p.Close(ctx))
	r.ok(d.Close(ctx))
	if p.Info().Driver != "memory" {
		t.Fatalf("%+v", p.Info())
	}
}
