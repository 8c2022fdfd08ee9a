package memory

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestDedup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{DedupWindow: time.Minute})
		r.ok(r.d.Declare(t.Context(), "other"))
		duplicate := func(id string) {
			t.Helper()
			if got, want := r.try(id, key("k")), (driver.Result{Duplicate: true, DuplicateOf: "a"}); got != want {
				t.Fatalf("result %+v, want %+v", got, want)
			}
		}
		r.add("a", key("k"))
		r.add("b", key("another"))
		duplicate("c")
		m := message("d")
		m.DedupKey = "k"
		if res := r.d.Enqueue(t.Context(), "other", []*driver.Message{m}); res != nil {
			t.Fatalf("another queue: %+v", res)
		}
		got := r.get(10, "a", "b")
		r.end(got[0], driver.Done)
		r.end(got[1], driver.Dead)
		duplicate("e")
		time.Sleep(time.Minute - 1)
		duplicate("f")
		time.Sleep(1)
		r.add("g", key("k"))
		r.get(10, "g")
	})
}

// Two messages of one call are duplicates of each other as well.
func TestDedupWithinCall(t *testing.T) {
	r := newRig(t, Options{})
	batch := []*driver.Message{message("a"), message("b"), message("c")}
	batch[0].DedupKey, batch[2].DedupKey = "k", "k"
	got := r.d.Enqueue(t.Context(), "q", batch)
	if len(got) != 3 || got[0].Duplicate || got[1].Duplicate || got[2] != (driver.Result{Duplicate: true, DuplicateOf: "a"}) {
		t.Fatalf("%+v", got)
	}
	r.get(10, "a", "b")
}

func TestAtomic(t *testing.T) {
	r := newRig(t, Options{MaxJobs: 5})
	batch := func(keys ...string) (list []*driver.Message) {
		for i, k := range keys {
			m := message(fmt.Sprint(i))
			m.DedupKey = k
			list = append(list, m)
		}
		return list
	}
	r.add("first", key("k"))
	bytes, jobs := r.d.b.room.used()
	tooLarge := batch("", "")
	tooLarge[1].Body = make([]byte, maxBody+1)
	for name, x := range map[string]struct {
		messages []*driver.Message
		want     error
	}{
		"duplicate of a stored one":   {batch("", "x", "k"), driver.ErrDuplicate},
		"duplicate within the call":   {batch("x", "", "x"), driver.ErrDuplicate},
		"more than there is room":     {batch("x", "", "", "", ""), driver.ErrFull},
		"a message that is too large": {tooLarge, driver.ErrTooLarge},
		"too many messages":           {make([]*driver.Message, maxBatch+1), driver.ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			r.is(r.d.EnqueueAtomic(t.Context(), "q", x.messages), x.want)
			r.depth(1, 0, 0, 0)
			if b, j := r.d.b.room.used(); b != bytes || j != jobs {
				t.Fatalf("room went from %d, %d to %d, %d", bytes, jobs, b, j)
			}
		})
	}
	r.ok(r.d.EnqueueAtomic(t.Context(), "q", batch("x", "", "")))
	r.ok(r.d.EnqueueAtomic(t.Context(), "q", nil))
	r.get(10, "first", "0", "1", "2")
	if !r.try("again", key("x")).Duplicate {
		t.Fatal("the key of an atomic enqueue is not remembered")
	}
}

// Everything that a job is comes back as it was enqueued.
func TestMessageIsCarried(t *testing.T) {
	r := newRig(t, Options{})
	at := time.Now().UTC().Truncate(time.Millisecond)
	m := &driver.Message{
		ID: "id", Kind: "kind", Body: []byte{0, 255}, ContentType: "x/y", Headers: map[string]string{"A": "b\x00"},
		EnqueuedAt: at, ExpiresAt: at.Add(time.Hour), MaxAttempts: 3, Timeout: time.Second,
		Level: driver.High, DedupKey: "dk", Group: "g",
	}
	r.d.Enqueue(t.Context(), "q", []*driver.Message{m})
	d := r.get(1, "id")[0]
	if got, want := fmt.Sprintf("%+v", d.Message), fmt.Sprintf("%+v", *m); got != want {
		t.Fatalf("got  %s\nwant %s", got, want)
	}
}

func TestFull(t *testing.T) {
	t.Run("jobs", func(t *testing.T) {
		r := newRig(t, Options{MaxJobs: 3})
		var batch []*driver.Message
		for i := range 5 {
			batch = append(batch, message(fmt.Sprint(i)))
		}
		got := r.d.Enqueue(t.Context(), "q", batch)
		for i, res := range got {
			if i < 3 {
				r.ok(res.Err)
			} else {
				r.is(res.Err, driver.ErrFull)
			}
		}
		// Running and dead jobs count; done ones do not.
		g := r.get(5, "0", "1", "2")
		r.end(g[0], driver.Dead)
		r.is(r.try("x").Err, driver.ErrFull)
		r.end(g[1], driver.Done)
		r.add("y")
		_, err := r.d.Discard(t.Context(), "q", driver.Selection{All: true})
		r.ok(err)
		r.add("z")
		r.is(r.try("x").Err, driver.ErrFull)
		r.ok(r.d.Delete(t.Context(), "q", "y"))
		r.add("x")
		r.ok(r.d.DeleteQueue(t.Context(), "q"))
		if bytes, jobs := r.d.b.room.used(); bytes != 0 || jobs != 0 {
			t.Fatalf("an empty broker counts %d bytes and %d jobs", bytes, jobs)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		r := newRig(t, Options{MaxBytes: minMaxBytes})
		limit := r.d.Info().Limits.MaxBody
		r.is(r.try("larger", body(limit+1)).Err, driver.ErrTooLarge)
		r.add("largest", body(limit))
		r.is(r.try("x", body(2*maxHeaders)).Err, driver.ErrFull)
		r.end(r.get(1, "largest")[0], driver.Done)
		r.add("x", body(2*maxHeaders))
	})
	t.Run("keys", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			// Keys of a queue that nobody uses any more make room when they end.
			r := newRig(t, Options{MaxBytes: minMaxBytes, DedupWindow: time.Minute})
			r.ok(r.d.Declare(t.Context(), "other"))
			n := 0
			for ; ; n++ {
				if res := r.try("x", key(fmt.Sprint(n))); res.Err != nil {
					r.is(res.Err, driver.ErrFull)
					break
				}
				r.end(r.get(1, "x")[0], driver.Done)
			}
			if n < 1000 {
				t.Fatalf("full after %d keys", n)
			}
			m := []*driver.Message{message("y")}
			body(1000)(m[0])
			r.is(r.d.Enqueue(t.Context(), "other", m)[0].Err, driver.ErrFull)
			time.Sleep(time.Minute)
			if res := r.d.Enqueue(t.Context(), "other", m); res != nil {
				t.Fatalf("%+v", res)
			}
			if q := r.d.b.queue("q"); len(q.marks.byKey.m) != 0 || q.marks.first != nil {
				t.Fatal("ended keys are kept")
			}
		})
	})
}

func TestRefusals(t *testing.T) {
	r := newRig(t, Options{})
	headers := func(m *driver.Message) { m.Headers = map[string]string{"h": string(make([]byte, maxHeaders))} }
	for name, x := range map[string]struct {
		change func(*driver.Message)
		want   error
	}{
		"body":           {body(maxBody + 1), driver.ErrTooLarge},
		"headers":        {headers, driver.ErrTooLarge},
		"delay":          {delay(maxDelay + 1), driver.ErrTooLarge},
		"negative delay": {delay(-1), driver.ErrTooLarge},
		"level above":    {level(3), driver.ErrConfig},
		"level below":    {level(-3), driver.ErrConfig},
	} {
		t.Run(name, func(t *testing.T) {
			// The others of the call are stored.
			bad := message("bad")
			x.change(bad)
			got := r.d.Enqueue(t.Context(), "q", []*driver.Message{message("a"), bad, message("b")})
			r.ok(got[0].Err)
			r.is(got[1].Err, x.want)
			r.ok(got[2].Err)
			for _, d := range r.get(10, "a", "b") {
				r.end(d, driver.Done)
			}
		})
	}
	for _, res := range r.d.Enqueue(t.Context(), "q", make([]*driver.Message, maxBatch+1)) {
		r.is(res.Err, driver.ErrTooLarge)
	}
	for _, err := range r.c.Settle(t.Context(), make([]driver.Settlement, maxBatch+1)) {
		r.is(err, driver.ErrTooLarge)
	}
	half := body(maxBody/2 + maxHeaders)
	m := message("half")
	half(m)
	for _, res := range r.d.Enqueue(t.Context(), "q", []*driver.Message{m, m}) {
		r.is(res.Err, driver.ErrTooLarge)
	}
	for _, lease := range []time.Duration{0, minLease - 1, maxLease + 1} {
		_, err := r.d.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: lease})
		r.is(err, driver.ErrConfig)
	}
}

// calls is every method of a handle and its consumer that can fail.
func calls(r *rig, ctx context.Context, queue string) map[string]func() error {
	d := r.d
	one := []*driver.Message{message("x")}
	return map[string]func() error{
		"Declare":       func() error { return d.Declare(ctx, queue) },
		"DeleteQueue":   func() error { return d.DeleteQueue(ctx, queue) },
		"Enqueue":       func() error { return d.Enqueue(ctx, queue, one)[0].Err },
		"EnqueueAtomic": func() error { return d.EnqueueAtomic(ctx, queue, one) },
		"Consume": func() error {
			_, err := d.Consume(ctx, queue, driver.ConsumeOptions{Lease: time.Second})
			return err
		},
		"Depth":       func() error { _, err := d.Depth(ctx, queue); return err },
		"DeadLetters": func() error { _, _, err := d.DeadLetters(ctx, queue, "", 1); return err },
		"Redrive":     func() error { _, err := d.Redrive(ctx, queue, driver.Selection{All: true}); return err },
		"Discard":     func() error { _, err := d.Discard(ctx, queue, driver.Selection{IDs: []string{"x"}}); return err },
		"List":        func() error { _, _, err := d.List(ctx, queue, driver.Waiting, "", 1); return err },
		"Find":        func() error { _, err := d.Find(ctx, queue, "x"); return err },
		"Delete":      func() error { return d.Delete(ctx, queue, "x") },
		"Pause":       func() error { return d.Pause(ctx, queue) },
		"Resume":      func() error { return d.Resume(ctx, queue) },
		"Paused":      func() error { _, err := d.Paused(ctx, queue); return err },
	}
}

func TestErrorsOfEveryMethod(t *testing.T) {
	open := func(t *testing.T) *rig { return newRig(t, Options{}) }
	closed := func(t *testing.T) *rig {
		r := open(t)
		r.ok(r.d.Close(t.Context()))
		r.ok(r.d.Close(t.Context()))
		return r
	}
	crashed := func(t *testing.T) *rig {
		r := open(t)
		r.d.Broker().Crash()
		return r
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, x := range map[string]struct {
		open  func(*testing.T) *rig
		ctx   context.Context
		queue string
		want  error
	}{
		"closed":             {closed, context.Background(), "q", driver.ErrClosed},
		"closed, no queue":   {closed, context.Background(), "none", driver.ErrClosed},
		"crashed":            {crashed, context.Background(), "q", driver.ErrUnavailable},
		"ctx ended":          {open, ended, "q", context.Canceled},
		"queue not declared": {open, context.Background(), "none", driver.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := x.open(t)
			for method, call := range calls(r, x.ctx, x.queue) {
				if x.want == driver.ErrNotFound && (method == "Declare" || method == "DeleteQueue") {
					continue // they are for queues that do not exist
				}
				err := call()
				if !errors.Is(err, x.want) || driver.FateOf(err) != driver.FateNotStored {
					t.Errorf("%s: %v, want %v", method, err, x.want)
				}
			}
			if x.queue != "q" {
				return
			}
			one := []*driver.Delivery{{}}
			for method, err := range map[string]error{
				"Settle": r.c.Settle(x.ctx, []driver.Settlement{{Delivery: one[0], Outcome: driver.Done}})[0],
				"Extend": r.c.Extend(x.ctx, one)[0],
			} {
				if !errors.Is(err, x.want) || driver.FateOf(err) != driver.FateNotStored {
					t.Errorf("%s: %v, want %v", method, err, x.want)
				}
			}
			if _, err := r.c.Receive(x.ctx, 1); !errors.Is(err, x.want) {
				t.Errorf("Receive: %v, want %v", err, x.want)
			}
		})
	}
}

func TestNoOps(t *testing.T) {
	r := newRig(t, Options{})
	r.ok(r.d.Declare(t.Context(), "q"))
	if r.d.Enqueue(t.Context(), "q", nil) != nil || r.c.Settle(t.Context(), nil) != nil || r.c.Extend(t.Context(), nil) != nil {
		t.Fatal("a call with nothing to do has results")
	}
	for _, do := range []func(context.Context, string, driver.Selection) (int, error){r.d.Redrive, r.d.Discard} {
		if n, err := do(t.Context(), "q", driver.Selection{}); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	r.ok(r.d.DeleteQueue(t.Context(), "none"))
}
