package move_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// stolen is a source from which somebody takes each job in the moment before it is deleted.
type stolen struct{ *memory.Driver }

func (s stolen) Delete(ctx context.Context, queue, id string) error {
	if err := s.Driver.Delete(ctx, queue, id); err != nil {
		return err
	}
	return s.Driver.Delete(ctx, queue, id)
}

func (s stolen) Discard(ctx context.Context, queue string, which driver.Selection) (int, error) {
	if _, err := s.Driver.Discard(ctx, queue, which); err != nil {
		return 0, err
	}
	return s.Driver.Discard(ctx, queue, which)
}

// TestTakenInThatMoment: the copy of a scheduled job that somebody else takes is removed again where
// that is safe, and counted as doubled elsewhere.
func TestTakenInThatMoment(t *testing.T) {
	for _, test := range []struct {
		what    string
		target  func(*memory.Driver) batch.Importer
		there   int
		doubled int64
	}{
		{"a target that knows keys", func(d *memory.Driver) batch.Importer { return d }, 2, 2},
		{"a target that can be looked into", func(d *memory.Driver) batch.Importer { return inspectedOf(d) }, 1, 1},
		{"a plain target", func(d *memory.Driver) batch.Importer { return plainOf(d) }, 2, 2},
	} {
		t.Run(test.what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to := brokers(t)
				fill(t, from, "q", []batch.Entry{bare("later", batch.StateScheduled, nil), bare("dead", batch.StateDead, nil)})
				var faults atomic.Int64
				p, err := move.Run(t.Context(), stolen{from}, test.target(to), "q", move.OnFault(func(error) { faults.Add(1) }))
				if err != nil || p.Doubled != test.doubled || p.Scheduled != 0 || faults.Load() != test.doubled {
					t.Errorf("the progress is %+v with %d faults, the error %v", p, faults.Load(), err)
				}
				if got := content(t, to, "q"); len(got) != test.there {
					t.Errorf("%d jobs are there, want %d", len(got), test.there)
				}
			})
		})
	}
}

// slow is a source whose consumers take longer to settle than a lease lasts.
type slow struct{ *memory.Driver }

func (s slow) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := s.Driver.Consume(ctx, queue, o)
	return slowConsumer{c}, err
}

// slowConsumer is one of them.
type slowConsumer struct{ driver.Consumer }

func (s slowConsumer) Settle(ctx context.Context, all []driver.Settlement) []error {
	if all[0].Outcome == driver.OutcomeDone {
		time.Sleep(s.Lease())
	}
	return s.Consumer.Settle(context.WithoutCancel(ctx), all)
}

// TestLostLeasesAreTold: a job whose lease ends after it was stored is counted.
func TestLostLeasesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{bare("a", batch.StateWaiting, nil)})
		ctx, stop := context.WithTimeout(t.Context(), 40*time.Second)
		defer stop()
		told := make(chan error, 100)
		p, err := move.Run(ctx, slow{from}, to, "q", move.Concurrency(1), move.OnFault(func(err error) { told <- err }))
		if !errors.Is(err, context.DeadlineExceeded) || p.Doubled == 0 || p.Moved() == 0 || !errors.Is(<-told, batch.ErrLeaseLost) {
			t.Errorf("the progress is %+v, the error %v", p, err)
		}
		if got := content(t, to, "q"); len(got) != 1 {
			t.Errorf("a target that knows keys has %d", len(got))
		}
	})
}

// TestDueSoon: what is due soon is moved when it is due, and not before.
func TestDueSoon(t *testing.T) {
	for _, what := range []string{"listed", "not listed"} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				from, to := brokers(t)
				start := time.Now()
				fill(t, from, "q", []batch.Entry{
					bare("soon", batch.StateScheduled, func(e *batch.Entry) { e.Delay = 20 * time.Second }),
					bare("later", batch.StateScheduled, func(e *batch.Entry) { e.Delay = 3 * time.Minute }),
				})
				var source batch.Driver = from
				if what == "not listed" {
					source = plainOf(from)
				}
				p, err := move.Run(t.Context(), source, to, "q", move.Quiet(time.Second))
				if err != nil || p.Moved() != 2 {
					t.Fatalf("the progress is %+v, the error %v", p, err)
				}
				took, scheduled := time.Since(start), int64(1)
				if what == "not listed" {
					scheduled = 0
				}
				if p.Scheduled != scheduled || scheduled == 1 && took > time.Minute || scheduled == 0 && took < 3*time.Minute {
					t.Errorf("after %s the progress is %+v", took, p)
				}
				for _, e := range content(t, to, "q") {
					if off := e.DueAt.Sub(start.Add(3 * time.Minute)); e.State == batch.StateScheduled && off.Abs() > time.Second {
						t.Errorf("%s is due at %s", e.ID, e.DueAt.Sub(start))
					}
				}
			})
		})
	}
}

// TestFollowGoesOn: a mover that follows moves what comes, until it is stopped.
func TestFollowGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		if err := from.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan move.Progress)
		go func() {
			p, err := move.Run(ctx, from, to, "q", move.Follow())
			if err != nil {
				t.Error(err)
			}
			done <- p
		}()
		for i := range 5 {
			time.Sleep(time.Minute)
			fill(t, from, "q", []batch.Entry{bare(numbered(i), batch.StateWaiting, nil), bare(numbered(i)+"-dead", batch.StateDead, nil)})
		}
		time.Sleep(time.Minute)
		stop()
		if p := <-done; p.Waiting != 5 || p.Dead != 5 || len(content(t, to, "q")) != 10 {
			t.Errorf("the progress is %+v", p)
		}
	})
}

// TestWaitsForWhatRuns: the move does not end while a worker has a job that may fail and come back.
func TestWaitsForWhatRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{bare("a", batch.StateWaiting, nil)})
		c, err := from.Consume(t.Context(), "q", driver.ConsumeOptions{Lease: time.Hour, Prefetch: 1})
		if err != nil {
			t.Fatal(err)
		}
		held, err := c.Receive(t.Context(), 1)
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan move.Progress)
		go func() {
			p, err := move.Run(t.Context(), from, to, "q")
			if err != nil {
				t.Error(err)
			}
			done <- p
		}()
		time.Sleep(10 * time.Minute)
		select {
		case p := <-done:
			t.Fatalf("it ended while a job ran: %+v", p)
		default:
		}
		c.Settle(t.Context(), []driver.Settlement{{Delivery: held[0], Outcome: driver.OutcomeRetry, Delay: time.Minute, Failures: 1, Error: "e"}})
		if p := <-done; p.Moved() != 1 {
			t.Errorf("the progress is %+v", p)
		}
		if got := content(t, to, "q"); len(got) != 1 || got[0].Failures != 1 || got[0].LastError != "e" {
			t.Errorf("the target has %+v", got)
		}
	})
}

// TestSeveralMoversAndFaults lets three movers at a queue whose broker and target fail now and then,
// with answers that are lost, while a producer goes on and a worker takes jobs of the source. Nothing
// may be lost, and where the target knows keys nothing that no worker took may be there twice.
func TestSeveralMoversAndFaults(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { severalMovers(t, seed) })
		})
	}
}

func severalMovers(t *testing.T, seed uint64) {
	from, to := brokers(t)
	entries := jobs(120, 20, 20)
	fill(t, from, "q", entries)
	want := content(t, from, "q")
	var ran sync.Map
	working, stop := context.WithCancel(t.Context())
	var others, movers sync.WaitGroup
	others.Go(func() { work(working, t, from, &ran, seed) })
	others.Go(func() {
		for i := range 20 {
			time.Sleep(50 * time.Millisecond)
			e := bare("new-"+numbered(i), batch.StateWaiting, nil)
			fill(t, from, "q", []batch.Entry{e})
		}
	})
	for i := range 20 {
		want = append(want, bare("new-"+numbered(i), batch.StateWaiting, nil))
	}
	for n := range 3 {
		movers.Go(func() {
			g := &gate{fault: faultsOf(seed*3 + uint64(n))}
			options := []move.Option{move.Patience(time.Hour), move.Concurrency(2)}
			if n > 0 {
				options = append(options, move.Only(batch.StateWaiting))
			}
			if _, err := move.Run(t.Context(), &rigged{from, g}, &rigged{to, g}, "q", options...); err != nil {
				t.Error(err)
			}
		})
	}
	movers.Wait()
	stop()
	others.Wait()
	if _, err := move.Run(t.Context(), from, to, "q"); err != nil {
		t.Fatal(err)
	}
	there := make(map[string]int)
	for _, e := range content(t, to, "q") {
		there[e.ID]++
	}
	for _, e := range want {
		_, done := ran.Load(e.ID)
		switch n := there[e.ID]; {
		case n == 0 && !done:
			t.Errorf("%s is lost", e.ID)
		case n > 1:
			t.Errorf("%s is there %d times", e.ID, n)
		}
	}
}

// work is a worker of the source that does what it gets, slowly, or fails it.
func work(ctx context.Context, t *testing.T, d *memory.Driver, ran *sync.Map, seed uint64) {
	c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
	if err != nil {
		t.Error(err)
		return
	}
	for n := seed; ctx.Err() == nil; n++ {
		got, err := c.Receive(ctx, 1)
		if err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
		s := driver.Settlement{Delivery: got[0], Outcome: driver.OutcomeDone}
		switch n % 3 {
		case 0:
			s.Outcome, s.Failures, s.Delay = driver.OutcomeRetry, got[0].Failures+1, time.Duration(n%90)*time.Second
		case 1:
			s.Outcome, s.Failures, s.Reason = driver.OutcomeDead, got[0].Failures+1, driver.ReasonPermanent
		default:
			ran.Store(got[0].ID, true)
		}
		c.Settle(context.WithoutCancel(ctx), []driver.Settlement{s})
	}
}

// forgetful is a source that does not count holders that vanished, as a broker that crashed.
type forgetful struct{ *memory.Driver }

func (f forgetful) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := f.Driver.Consume(ctx, queue, o)
	return forgetfulConsumer{c}, err
}

// forgetfulConsumer is one of them.
type forgetfulConsumer struct{ driver.Consumer }

func (f forgetfulConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	got, err := f.Consumer.Receive(ctx, max)
	for _, d := range got {
		d.Redeliveries = 0
	}
	return got, err
}

// TestLeftoversOfABrokerThatForgot: what a mover left behind is recognized also if the source forgot that
// it had a holder, as long as it is still on the target. Twins are not taken for it.
func TestLeftoversOfABrokerThatForgot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		entries := jobs(50, 0, 0)
		entries = append(entries, bare("twin", batch.StateWaiting, nil), bare("twin", batch.StateWaiting, nil))
		fill(t, from, "q", entries)
		want := content(t, from, "q")
		killed := &settleKills{forgetful{from}}
		if _, err := move.Run(t.Context(), killed, to, "q", move.Concurrency(1)); err == nil {
			t.Fatal("it was not killed")
		}
		time.Sleep(time.Minute)
		p, err := move.Run(t.Context(), forgetful{from}, to, "q")
		n := len(content(t, to, "q"))
		if err != nil || p.Found == 0 || n < len(want) || n > len(want)+1 { // of twins one too many may be there
			t.Errorf("%d jobs are there of %d, the progress is %+v, the error %v", n, len(want), p, err)
		}
	})
}

// settleKills is a source whose movers die as they settle.
type settleKills struct{ forgetful }

func (s *settleKills) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := s.forgetful.Consume(ctx, queue, o)
	return settleKillsConsumer{c}, err
}

// settleKillsConsumer is one of them.
type settleKillsConsumer struct{ driver.Consumer }

func (s settleKillsConsumer) Settle(_ context.Context, all []driver.Settlement) []error {
	return each(len(all), errKilled)
}

// tardy is a target that takes a second to store jobs, and remembers nothing.
type tardy struct{ plain }

func (d tardy) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	time.Sleep(time.Second)
	return d.plain.Import(ctx, queue, entries)
}

// TestStopFinishesWhatIsUnderWay: a mover that is told to stop doubles nothing, on any target.
func TestStopFinishesWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		var entries []batch.Entry
		for i := range 1500 {
			entries = append(entries, bare(numbered(i), batch.State(1+i%3), nil))
		}
		fill(t, from, "q", entries)
		want := content(t, from, "q")
		for stops := 0; ; stops++ {
			ctx, cancel := context.WithTimeout(t.Context(), 1700*time.Millisecond)
			start := time.Now()
			p, err := move.Run(ctx, from, tardy{plainOf(to)}, "q", move.Concurrency(2))
			cancel()
			if p.Doubled != 0 || time.Since(start) > 10*time.Second {
				t.Fatalf("after %s the progress is %+v", time.Since(start), p)
			}
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Fatal(err)
			}
			if left := len(content(t, from, "q")); left == 0 {
				if stops < 3 {
					t.Errorf("there were %d stops", stops)
				}
				break
			}
		}
		same(t, onceMore(content(t, to, "q"), want), want)
	})
}
