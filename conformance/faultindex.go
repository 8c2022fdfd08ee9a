package conformance

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

var indexCases = []Case{
	{Name: "fault-index", Rule: "Whichever network call of enqueue, receive, retry, dead-letter, done and redrive is the last on its connection, before or after the broker has it: all ends well, and what is reported is true.", Needs: networked, leases: true, timed: true, run: caseFaultIndex},
}

const (
	// indexSample is how many calls are failed when it is a sample.
	indexSample = 10
	// indexBeside is how many scenarios run at once.
	indexBeside = 5
)

func caseFaultIndex(s *stage) {
	n := s.countCalls()
	var cuts []proxy.Cut
	if soak() {
		for call := range n {
			cuts = append(cuts, proxy.Cut{Call: call + 1}, proxy.Cut{Call: call + 1, After: true})
		}
	} else {
		for part := range indexSample {
			// One of each tenth of the scenario.
			call := 1 + (part*n+s.random.IntN(n))/indexSample
			cuts = append(cuts, proxy.Cut{Call: call, After: s.random.IntN(2) == 0})
		}
	}
	slots := make(chan struct{}, indexBeside)
	var all sync.WaitGroup
	for _, cut := range cuts {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := s.failing(cut, nil); err != nil {
				s.problem("of %d calls, call %d was the last, cut after it: %t: %v", n, cut.Call, cut.After, err)
			}
		})
	}
	all.Wait()
}

// countCalls runs the scenario without a fault, and returns how many calls it makes.
func (s *stage) countCalls() int {
	var n int
	s.check(s.failing(proxy.Cut{}, &n), "the scenario without a fault")
	if n < 5 {
		s.failf("only %d calls were seen", n)
	}
	s.history.Add(Event{Op: Noted, Note: strconv.Itoa(n) + " calls in the scenario"})
	return n
}

// failing runs the scenario on a stage of its own, with a cut.
func (s *stage) failing(cut proxy.Cut, calls *int) error {
	h := *s.harness
	h.Timeout = min(h.Timeout, 30*time.Second+2*s.grace()+h.Hidden) // it must not take the time of the others
	_, err := Case{Name: s.name, Rule: s.rule, leases: true, run: func(s *stage) {
		n := s.scenario(cut)
		if calls != nil {
			*calls = n
		}
	}}.execute(s.ctx, &h, s.info)
	var v *Violation
	if errors.As(err, &v) {
		// Without the rule, which is this case's.
		return fmt.Errorf("%q\n%s", v.Problems, v.History)
	}
	return err
}

// scenario takes three jobs through all that can become of one: done, retried and done,
// dead and redriven and done. It returns how many calls that took.
func (s *stage) scenario(cut proxy.Cut) int {
	p := s.network()
	x := &process{stage: s, name: "process", p: p}
	if cut.Call > 0 {
		p.CutAt(cut)
		s.history.Add(Event{Op: Disturbed, Worker: x.name, Note: "a call fails"})
	}
	s.again("open a handle", func(ctx context.Context) (err error) {
		x.d, err = s.harness.openAt(ctx, p.Addr())
		return err
	})
	s.after(func(ctx context.Context) error { return x.d.Close(ctx) })
	x.queue = queueOf[driver.Driver](s, x.d)
	s.again("declare the queue", func(ctx context.Context) error { return x.d.Declare(ctx, s.queue) })
	confirmed := 0
	for n := 0; confirmed < 3; n++ {
		if n == 10 {
			s.failf("of %d enqueues, %d were confirmed", n, confirmed)
		}
		x.enqueueTold(n, 1)
		confirmed = s.history.Count(Enqueued)
	}
	dead := make(chan struct{})
	x.works(func(_ context.Context, j *job) error {
		switch {
		case j.Args.N == 1 && j.Attempt == 1:
			return errors.New("once")
		case j.Args.N == 2 && !closed(dead):
			return batch.Permanent(errors.New("for good"))
		}
		return nil
	}, retryAfter(10*time.Millisecond))
	s.waitOver(s.grace(), "the jobs to be done or dead")
	s.redriveLetter(x, dead)
	s.waitBy(s.grace(), "the jobs to be done", func() bool {
		for _, e := range s.history.Of(name(2)) {
			if e.Op == Done {
				return true
			}
		}
		return s.history.Count(Died) == 0
	})
	s.waitDepthBy(s.grace(), x.d, driver.Depth{})
	s.judgeScenario()
	return p.Calls()
}

// judgeScenario is Judge for attempts that begin again after a redrive.
func (s *stage) judgeScenario() {
	var events []Event
	for _, e := range s.history.Events() {
		if e.ID != name(2) {
			events = append(events, e)
		}
	}
	s.check(Judge(events, s.grace()), "judge the history")
	s.check(Kept(s.history.Events()), "judge the history")
}

// redriveLetter redrives the dead letter of the scenario, if there is one: the job that
// becomes one may not be stored.
func (s *stage) redriveLetter(x *process, dead chan struct{}) {
	died := false
	for _, e := range s.history.Of(name(2)) {
		died = died || e.Op == Died
	}
	if !died {
		return
	}
	s.again("find the dead letter", func(ctx context.Context) error {
		page, _, err := x.d.DeadLetters(ctx, s.queue, "", 10)
		if err == nil && len(page) == 0 {
			err = &driver.Error{Driver: s.info.Driver, Op: "look", Kind: driver.ErrUnavailable} // not there yet
		}
		return err
	})
	close(dead)
	s.again("redrive the dead letter", func(ctx context.Context) error {
		_, err := x.d.Redrive(ctx, s.queue, driver.Selection{IDs: []string{name(2)}})
		return err
	})
}

// again makes a call that may fail because of the cut, with an error that says so, until it
// succeeds.
func (s *stage) again(what string, call func(context.Context) error) {
	s.eventuallyBy(s.harness.Hidden, what, func() error {
		ctx, cancel := context.WithTimeout(s.ctx, 5*time.Second)
		defer cancel()
		err := call(ctx)
		if err != nil && !errors.Is(err, driver.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			s.problem("%s: the error of a call whose connection broke does not say that the broker is unavailable: %v", what, err)
		}
		return err
	})
}
