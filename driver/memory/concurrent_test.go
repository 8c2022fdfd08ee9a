package memory

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

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

// TestConcurrentRun runs producers and workers on several handles at once.
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
			d, _ := s.d.broker.Open()
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
			d, _ := s.d.broker.Open()
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
					o := []driver.Outcome{driver.OutcomeDone, driver.OutcomeDone, driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeRelease, driver.OutcomeDead}[rnd.IntN(6)]
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
	for _, e := range listAll(s, driver.StateDead, 100) {
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
		case driver.OutcomeDone:
			l.done[d.ID]++
		case driver.OutcomeDead:
			l.dead[d.ID]++
		}
	}
	l.look()
}
