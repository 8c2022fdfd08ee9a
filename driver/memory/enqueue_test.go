package memory

import (
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
		r.end(got[0], driver.OutcomeDone)
		r.end(got[1], driver.OutcomeDead)
		duplicate("e")
		time.Sleep(time.Minute - 1)
		duplicate("f")
		time.Sleep(1 * time.Nanosecond)
		r.add("g", key("k"))
		r.get(10, "g")
	})
}

// A removed job frees its key, unless the window is over and another has it.
func TestDedupKeyIsFreed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{DedupWindow: time.Hour})
		within := func(d time.Duration) func(*driver.Message) { return func(m *driver.Message) { m.DedupWithin = d } }
		remove := map[string]func(id string){
			"delete": func(id string) { r.ok(r.d.Delete(t.Context(), "q", id)) },
			"purge":  func(string) { _, err := r.d.Purge(t.Context(), "q"); r.ok(err) },
			"discard": func(id string) {
				r.end(r.get(1, id)[0], driver.OutcomeDead)
				_, err := r.d.Discard(t.Context(), "q", driver.Selection{IDs: []string{id}})
				r.ok(err)
			},
		}
		for name, remove := range remove {
			r.add(name, key(name))
			remove(name)
			r.add(name, key(name), within(time.Second)) // of the same ID
			time.Sleep(time.Second)
			held := r.get(1, name)[0]
			r.add("other "+name, key(name))
			r.end(held, driver.OutcomeRelease)
			held = r.get(1, name)[0]
			r.end(r.get(1, "other "+name)[0], driver.OutcomeDone)
			r.end(held, driver.OutcomeRelease)
			remove(name)
			if got := r.try("x", key(name)); got.DuplicateOf != "other "+name {
				t.Fatalf("%s freed the key of another job: %+v", name, got)
			}
		}
		time.Sleep(time.Hour)
		r.depth(0, 0, 0, 0)
		if bytes, jobs := r.d.broker.capacity.used(); bytes != 0 || jobs != 0 {
			t.Errorf("%d bytes and %d jobs are counted", bytes, jobs)
		}
	})
}

// Windows of different lengths end in their own order.
func TestDedupWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{DedupWindow: time.Hour})
		for _, s := range []int{5, 1, 3600, 4, 2, 3} {
			r.add(fmt.Sprint(s), key(fmt.Sprint("k", s)), func(m *driver.Message) { m.DedupWithin = time.Duration(s) * time.Second })
		}
		r.add("0", key("k0"))
		for s := 1; s <= 5; s++ {
			time.Sleep(time.Second - 1)
			if got := r.try("x", key(fmt.Sprint("k", s))); got.DuplicateOf != fmt.Sprint(s) {
				t.Fatalf("%d s: %+v", s, got)
			}
			time.Sleep(time.Nanosecond)
			if n := len(r.d.broker.queue("q").keys.ending); n != 7-s+1 && s > 1 {
				t.Fatalf("%d keys after %d s", n, s)
			}
			r.depth(7, 0, 0, 0)
		}
		for _, k := range []string{"k0", "k3600"} {
			if !r.try("x", key(k)).Duplicate {
				t.Fatalf("%s is free", k)
			}
		}
		for _, bad := range []time.Duration{-1, 1, time.Second - 1, time.Hour + 1} {
			r.is(r.try("x", key("bad"), func(m *driver.Message) { m.DedupWithin = bad }).Err, driver.ErrConfig)
		}
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
	bytes, jobs := r.d.broker.capacity.used()
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
			if b, j := r.d.broker.capacity.used(); b != bytes || j != jobs {
				t.Fatalf("capacity went from %d, %d to %d, %d", bytes, jobs, b, j)
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
		r.end(g[0], driver.OutcomeDead)
		r.is(r.try("x").Err, driver.ErrFull)
		r.end(g[1], driver.OutcomeDone)
		r.add("y")
		_, err := r.d.Discard(t.Context(), "q", driver.Selection{All: true})
		r.ok(err)
		r.add("z")
		r.is(r.try("x").Err, driver.ErrFull)
		r.ok(r.d.Delete(t.Context(), "q", "y"))
		r.add("x")
		r.ok(r.d.DeleteQueue(t.Context(), "q"))
		if bytes, jobs := r.d.broker.capacity.used(); bytes != 0 || jobs != 0 {
			t.Fatalf("an empty broker counts %d bytes and %d jobs", bytes, jobs)
		}
	})
	t.Run("bytes", func(t *testing.T) {
		r := newRig(t, Options{MaxBytes: minMaxBytes})
		limit := r.d.Info().Limits.MaxBody
		r.is(r.try("larger", body(limit+1)).Err, driver.ErrTooLarge)
		r.add("largest", body(limit))
		r.is(r.try("x", body(2*maxHeaders)).Err, driver.ErrFull)
		r.end(r.get(1, "largest")[0], driver.OutcomeDone)
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
				r.end(r.get(1, "x")[0], driver.OutcomeDone)
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
			if q := r.d.broker.queue("q"); len(q.keys.byKey.entries) != 0 || q.keys.any() {
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
		"delay":          {delay(maxDelay + 1), driver.ErrConfig},
		"negative delay": {delay(-1), driver.ErrConfig},
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
				r.end(d, driver.OutcomeDone)
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
