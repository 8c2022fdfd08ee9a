package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestCrashKeepsWhatIsConfirmed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, Options{})
		b := r.d.Broker()
		r.add("running", key("k"))
		r.add("settled")
		r.add("dead")
		r.add("released")
		g := r.get(10, "running", "settled", "dead", "released")
		r.end(g[1], driver.Done)
		r.end(g[2], driver.Dead)
		r.end(g[3], driver.Release)
		r.add("scheduled", delay(time.Hour))
		r.ok(r.d.Pause(t.Context(), "q"))

		b.Crash()
		r.is(r.settle(g[0], driver.Settlement{Outcome: driver.Done}), driver.ErrUnavailable)
		r.ok(r.d.Close(t.Context()))

		r = openRig(t, b)
		r.depth(2, 1, 0, 1)
		if paused, err := r.d.Paused(t.Context(), "q"); err != nil || !paused {
			t.Fatal("the pause is forgotten", err)
		}
		r.ok(r.d.Resume(t.Context(), "q"))
		got := r.get(10, "running", "released")
		r.history(got[0], 0, 2, 1)
		r.history(got[1], 0, 2, 0)
		// The old receipt is nothing on the new handle.
		r.is(r.settle(g[0], driver.Settlement{Outcome: driver.Done}), driver.ErrLeaseLost)
		if !r.try("x", key("k")).Duplicate {
			t.Fatal("a key is forgotten")
		}
		for _, d := range got {
			r.end(d, driver.Done)
		}
		start := time.Now()
		r.get(1, "scheduled")
		if after := time.Since(start); after != time.Hour {
			t.Fatalf("the delay took %s after the crash", after)
		}
	})
}

// A consumer of a crashed handle says that the handle is closed once it is.
func TestCloseAfterCrash(t *testing.T) {
	r := newRig(t, Options{})
	r.d.Broker().Crash()
	_, err := r.c.Receive(t.Context(), 1)
	r.is(err, driver.ErrUnavailable)
	r.ok(r.d.Close(t.Context()))
	_, err = r.c.Receive(t.Context(), 1)
	r.is(err, driver.ErrClosed)
	r.is(r.d.Declare(t.Context(), "q"), driver.ErrClosed)
}

func TestDeleteQueueLosesDeliveries(t *testing.T) {
	r := newRig(t, Options{})
	r.add("a")
	d := r.get(1, "a")[0]
	r.ok(r.d.DeleteQueue(t.Context(), "q"))
	r.is(r.settle(d, driver.Settlement{Outcome: driver.Done}), driver.ErrLeaseLost)
	r.is(r.c.Extend(t.Context(), []*driver.Delivery{d})[0], driver.ErrLeaseLost)
	_, err := r.d.Depth(t.Context(), "q")
	r.is(err, driver.ErrNotFound)
	r.ok(r.d.Declare(t.Context(), "q"))
	r.depth(0, 0, 0, 0)
	// The old consumer is not one of the new queue.
	_, err = r.c.Receive(t.Context(), 1)
	r.is(err, driver.ErrNotFound)
	r.c = r.consume(testLease)
	r.is(r.settle(d, driver.Settlement{Outcome: driver.Done}), driver.ErrLeaseLost)
}

// ledger is the history of a concurrent run, judged at its end.
type ledger struct {
	sync.Mutex // guards following
	confirmed  map[string]bool
	done       map[string]int
	dead       map[string]int
	held       map[string]bool
	running    map[string]string // group -> job
	wrong      []string
	complete   bool // confirmed will not grow
	all        chan struct{}
}

// expect closes all, now or later, when every confirmed job has ended.
func (l *ledger) expect() {
	l.Lock()
	defer l.Unlock()
	l.complete = true
	l.look()
}

func (l *ledger) look() {
	if l.complete && len(l.done)+len(l.dead) == len(l.confirmed) {
		l.complete = false
		close(l.all)
	}
}

func (l *ledger) complain(format string, args ...any) {
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// TestConcurrentRun has producers and workers on several handles at one time.
// Its rules: (1) what was confirmed is done or dead exactly once, (2) nothing
// else is, (3) no job is in two hands, (4) no two jobs of a group run at once.
func TestConcurrentRun(t *testing.T) {
	r, _ := random(t)
	const producers, workers, perProducer = 3, 4, 2000
	s := newRig(t, Options{})
	ctx := t.Context()
	l := &ledger{confirmed: map[string]bool{}, done: map[string]int{}, dead: map[string]int{}, held: map[string]bool{}, running: map[string]string{}, all: make(chan struct{})}
	var produced, worked sync.WaitGroup
	for p := range producers {
		rnd := rand.New(rand.NewPCG(r.Uint64(), 1))
		produced.Go(func() {
			d, _ := s.d.b.Open()
			defer d.Close(ctx)
			for n := 0; n < perProducer; {
				var batch []*driver.Message
				for range 1 + rnd.IntN(20) {
					m := message(fmt.Sprintf("%d-%d", p, n))
					m.Level = driver.Level(rnd.IntN(levels) - 2)
					if rnd.IntN(2) == 0 {
						m.Group = fmt.Sprint(rnd.IntN(30))
					}
					batch = append(batch, m)
					n++
				}
				if res := d.Enqueue(ctx, "q", batch); res != nil {
					t.Errorf("%+v", res)
					return
				}
				l.Lock()
				for _, m := range batch {
					l.confirmed[m.ID] = true
				}
				l.Unlock()
			}
		})
	}
	working, stop := context.WithCancel(ctx)
	for range workers {
		rnd := rand.New(rand.NewPCG(r.Uint64(), 2))
		worked.Go(func() {
			d, _ := s.d.b.Open()
			defer d.Close(ctx)
			c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: time.Hour})
			if err != nil {
				t.Error(err)
				return
			}
			for {
				got, err := c.Receive(working, 1+rnd.IntN(30))
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Error(err)
					}
					return
				}
				l.take(got)
				var settlements []driver.Settlement
				for _, d := range got {
					o := []driver.Outcome{driver.Done, driver.Done, driver.Done, driver.Retry, driver.Release, driver.Dead}[rnd.IntN(6)]
					settlements = append(settlements, driver.Settlement{Delivery: d, Outcome: o, Delay: time.Duration(rnd.IntN(2)) * time.Millisecond})
				}
				l.give(settlements)
				if errs := c.Settle(ctx, settlements); errs != nil {
					t.Error(errs)
					return
				}
			}
		})
	}
	produced.Wait()
	l.expect()
	<-l.all
	stop()
	worked.Wait()
	for id := range l.confirmed {
		if n := l.done[id] + l.dead[id]; n != 1 {
			l.complain("job %s ended %d times", id, n)
		}
	}
	if n := len(l.done) + len(l.dead); n != len(l.confirmed) {
		l.complain("%d jobs were confirmed, %d ended", len(l.confirmed), n)
	}
	listed := map[string]int{}
	for _, e := range listAll(s, driver.DeadLettered, 100) {
		listed[e.ID]++
	}
	if !maps.Equal(listed, l.dead) {
		l.complain("%d dead letters are listed, want %d", len(listed), len(l.dead))
	}
	if len(l.wrong) > 0 {
		t.Fatalf("%d rules broken; first: %v", len(l.wrong), l.wrong[:min(5, len(l.wrong))])
	}
}

func (l *ledger) take(got []*driver.Delivery) {
	l.Lock()
	defer l.Unlock()
	for _, d := range got {
		if l.held[d.ID] {
			l.complain("job %s is in two hands", d.ID)
		}
		l.held[d.ID] = true
		if d.Group == "" {
			continue
		}
		if other := l.running[d.Group]; other != "" {
			l.complain("jobs %s and %s of group %s run at once", other, d.ID, d.Group)
		}
		l.running[d.Group] = d.ID
	}
}

// give notes the outcomes, before they take effect for others.
func (l *ledger) give(settlements []driver.Settlement) {
	l.Lock()
	defer l.Unlock()
	for _, s := range settlements {
		d := s.Delivery
		l.held[d.ID] = false
		if d.Group != "" {
			l.running[d.Group] = ""
		}
		switch s.Outcome {
		case driver.Done:
			l.done[d.ID]++
		case driver.Dead:
			l.dead[d.ID]++
		}
	}
	l.look()
}

// TestCrashUnderLoad crashes the broker while producers and workers use it.
// Afterwards, what was confirmed and not confirmed as done is there, once, and
// nothing that was refused is.
func TestCrashUnderLoad(t *testing.T) {
	r, _ := random(t)
	s := newRig(t, Options{})
	b := s.d.Broker()
	ctx := t.Context()
	var mu sync.Mutex
	stored, done := map[string]bool{}, map[string]bool{}
	for round := range 30 {
		var all sync.WaitGroup
		// The crash comes at a random number of confirmations.
		instant, left := make(chan struct{}), 1+r.IntN(500)
		for p := range 2 {
			d, err := b.Open()
			s.ok(err)
			all.Go(func() {
				defer d.Close(ctx)
				for n := 0; ; n++ {
					id := fmt.Sprintf("%d-%d-%d", round, p, n)
					if res := d.Enqueue(ctx, "q", []*driver.Message{message(id)}); res != nil {
						s.refused(res[0].Err)
						return
					}
					mu.Lock()
					stored[id] = true
					if left--; left == 0 {
						close(instant)
					}
					mu.Unlock()
				}
			})
		}
		for range 2 {
			d, err := b.Open()
			s.ok(err)
			c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: time.Hour})
			s.ok(err)
			all.Go(func() {
				defer d.Close(ctx)
				for {
					got, err := c.Receive(ctx, 8)
					if err != nil {
						s.refused(err)
						return
					}
					for _, x := range got[:len(got)/2+1] {
						if errs := c.Settle(ctx, []driver.Settlement{{Delivery: x, Outcome: driver.Done}}); errs != nil {
							s.refused(errs[0])
							return
						}
						mu.Lock()
						if done[x.ID] {
							t.Errorf("job %s was done twice", x.ID)
						}
						done[x.ID] = true
						mu.Unlock()
					}
				}
			})
		}
		<-instant
		b.Crash()
		probe, err := b.Open()
		s.ok(err)
		before, err := probe.Depth(ctx, "q")
		s.ok(err)
		all.Wait()
		after, err := probe.Depth(ctx, "q")
		s.ok(err)
		if before != after || before.Running != 0 {
			t.Fatalf("depth after the crash %+v, and later %+v", before, after)
		}
		s.ok(probe.Close(ctx))
	}
	s = openRig(t, b)
	var want []string
	for id := range stored {
		if !done[id] {
			want = append(want, id)
		}
	}
	var got []string
	for _, e := range listAll(s, driver.Waiting, 1000) {
		got = append(got, e.ID)
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Fatalf("%d jobs are left, want %d of %d confirmed", len(got), len(want), len(stored))
	}
}

// refused fails unless the error says that the crash kept the call from having
// an effect. It is for goroutines.
func (r *rig) refused(err error) {
	if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
		r.Errorf("%v", err)
	}
}
