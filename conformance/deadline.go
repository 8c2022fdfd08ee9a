package conformance

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

var networked = []string{needsOpenAt}

var deadlineCases = []Case{
	{Name: "deadline-black-hole", Rule: "When nothing passes any more, every call returns within 100 ms of its context's end, and hinders no later call and no Close; then the handle goes on.", Needs: networked, leases: true, timed: true, run: caseDeadlineBlackHole},
	{Name: "deadline-unheard", Rule: "When no answer passes any more, every call returns within 100 ms of its context's end, says nothing that is not true, and hinders no later call and no Close; then the handle goes on.", Needs: networked, leases: true, timed: true, run: caseDeadlineUnheard},
	{Name: "deadline-refused", Rule: "When connections break and new ones are refused, every call returns within 100 ms of its context's end, and hinders no later call and no Close; then the handle goes on.", Needs: networked, leases: true, timed: true, run: caseDeadlineRefused},
	{Name: "deadline-unanswered", Rule: "When connections break and new ones are not answered, every call returns within 100 ms of its context's end, and hinders no later call and no Close; then the handle goes on.", Needs: networked, leases: true, timed: true, run: caseDeadlineUnanswered},
	{Name: "deadline-frozen", Rule: "When the broker does not answer, every call returns within 100 ms of its context's end, and hinders no later call and no Close; then the handle goes on.", Needs: freezing, leases: true, timed: true, run: caseDeadlineFrozen},
}

const (
	// deadline is the time that the calls of these cases have.
	deadline = 500 * time.Millisecond
	// late is by how much a call may outlive it.
	late = 100 * time.Millisecond
	// busyMachine is how late a machine is on which a call that computes something takes
	// longer than can be told. Such a case is repeated.
	busyMachine = 25 * time.Millisecond
)

func caseDeadlineBlackHole(s *stage) {
	s.deadlines(func(p *proxy.Proxy) error { p.Hold(proxy.Both); return nil })
}

func caseDeadlineUnheard(s *stage) {
	s.deadlines(func(p *proxy.Proxy) error { p.Hold(proxy.Down); return nil })
}

func caseDeadlineRefused(s *stage) {
	s.deadlines(func(p *proxy.Proxy) error { defer p.Reset(); return p.Refuse() })
}

func caseDeadlineUnanswered(s *stage) {
	s.deadlines(func(p *proxy.Proxy) error { defer p.Reset(); return p.Ignore() })
}

// deadlines makes every call on a handle whose network is disturbed.
func (s *stage) deadlines(disturb func(*proxy.Proxy) error) {
	p := s.network()
	d := s.through(p)
	s.keepsDeadlines(d, func() (func(), error) {
		return func() { s.check(mend(p), "mend the network") }, disturb(p)
	}, func(ctx context.Context) (driver.Driver, error) { return s.harness.openAt(ctx, p.Addr()) })
}

func caseDeadlineFrozen(s *stage) {
	s.keepsDeadlines(s.open(), func() (func(), error) {
		thaw, err := s.harness.Freeze(s.ctx)
		s.check(err, "freeze the broker")
		once := sync.OnceFunc(thaw)
		s.after(func(context.Context) error { once(); return nil })
		return once, nil
	}, s.harness.open)
}

// keepsDeadlines makes every call during a fault, twice, and closes during another.
func (s *stage) keepsDeadlines(d driver.Driver, disturb func() (mend func(), err error), open func(context.Context) (driver.Driver, error)) {
	t := &deadlineTest{stage: s, d: d, truth: s.newQueue(), scratch: s.newQueue(), fates: make(map[string]bool)}
	t.prepare()
	mend, err := disturb()
	s.check(err, "disturb the handle")
	for round := range 2 {
		t.round(round)
	}
	t.within("opening a handle", deadline, func(ctx context.Context) error {
		other, err := open(ctx)
		if err == nil {
			s.after(other.Close)
			return errors.New("a handle was opened on a broker that does not answer")
		}
		return nil
	})
	mend()
	t.goesOn()
	mend, err = disturb()
	s.check(err, "disturb the handle again")
	t.closes()
	mend()
	t.told()
}

// deadlineTest is a handle whose calls are timed.
type deadlineTest struct {
	*stage
	d driver.Driver
	c driver.Consumer
	// held are deliveries to settle and extend.
	held []*driver.Delivery
	// truth is the queue that jobs are enqueued on, so that what was said of them can
	// be compared with what is there, and scratch is for calls that change all of a queue.
	truth, scratch string

	mu sync.Mutex // guards following
	// fates are the jobs of which something certain was said: that they are stored, or
	// that they are not.
	fates map[string]bool
	tried int
}

// heldEach is how many deliveries are held to be settled in each round.
const heldEach = 4

// prepare makes the handle used: it has a connection of each kind.
func (t *deadlineTest) prepare() {
	for _, queue := range []string{t.queue, t.truth, t.scratch} {
		t.check(t.d.Declare(t.ctx, queue), "declare")
	}
	t.putOn(t.d, t.truth, message("before"))
	t.fates["before"] = true
	all := messages(2*heldEach + 1)
	for _, m := range all {
		m.ID = "held-" + m.ID
	}
	t.put(t.d, all...)
	t.c = t.consume(t.d, len(all))
	t.held = t.receive(t.c, len(all))
	t.settleDead(t.c, t.held[0])
	t.held = t.held[1:]
}

// round makes every call at once, and in the second round one shortly after another,
// as calls that wait for each other betray themselves.
func (t *deadlineTest) round(round int) {
	calls := t.calls(t.held[round*heldEach : (round+1)*heldEach])
	var all sync.WaitGroup
	n := 0
	for what, call := range calls {
		begin := time.Duration(round*n) * 10 * time.Millisecond
		n++
		all.Go(func() {
			t.pass(begin)
			t.within(fmt.Sprintf("%s, in round %d", what, round+1), deadline, call)
		})
	}
	all.Wait()
}

// within makes a call that must return before its context has ended for long, and what it
// returns must not be an error.
func (t *deadlineTest) within(what string, d time.Duration, call func(context.Context) error) {
	ctx, cancel := context.WithTimeout(t.ctx, d)
	defer cancel()
	machine := newPulse(callBeat)
	begin := time.Now()
	err := call(ctx)
	took := time.Since(begin)
	worst := machine.stop()
	switch most := d + late + steps*worst; {
	case took <= most:
	case worst > busyMachine && took < most+deadline:
		t.doubt("%s with a deadline of %s took %s", what, d, took)
	default:
		t.problem("%s with a deadline of %s took %s, which is %s beyond what it may (it ended with: %v)", what, d, took, took-most, err)
	}
	if err != nil {
		t.problem("%s: %v", what, err)
	}
}

// explained is nil if an error says that the broker cannot be had. A call that needs
// its answer must not succeed.
func explained(err error, needsAnswer bool) error {
	switch {
	case err == nil && needsAnswer:
		return errors.New("it succeeded, although the broker did not answer")
	case err == nil:
		return nil
	}
	for _, want := range []error{context.DeadlineExceeded, driver.ErrUnavailable, driver.ErrLeaseLost, driver.ErrClosed} {
		if errors.Is(err, want) {
			return nil
		}
	}
	return fmt.Errorf("the error says neither that its context ended nor that the broker is unavailable: %w", err)
}

// calls are all that the driver and a consumer have, each to be made once.
func (t *deadlineTest) calls(held []*driver.Delivery) map[string]func(context.Context) error {
	calls := make(map[string]func(context.Context) error)
	// What the handle knows may be answered without the broker, but not what is stored.
	for what := range readingCalls(t.ctx, t.d, t.scratch) {
		switch what {
		case "Enqueue", "EnqueueAtomic", "Import":
			calls[what] = func(ctx context.Context) error { return explained(t.enqueue(ctx, what), true) }
		default:
			calls[what] = func(ctx context.Context) error {
				return explained(readingCalls(ctx, t.d, t.scratch)[what](), false)
			}
		}
	}
	calls["Declare"] = func(ctx context.Context) error { return explained(t.d.Declare(ctx, t.scratch), false) }
	calls["DeleteQueue"] = func(ctx context.Context) error { return explained(t.d.DeleteQueue(ctx, t.scratch), true) }
	calls["Consume"] = func(ctx context.Context) error {
		c, err := t.d.Consume(ctx, t.scratch, driver.ConsumeOptions{Lease: t.lease(), Prefetch: 1})
		if err == nil {
			t.after(c.Close)
		}
		return explained(err, false)
	}
	for _, outcome := range []driver.Outcome{driver.OutcomeDone, driver.OutcomeRetry, driver.OutcomeDead} {
		delivery := held[int(outcome)-1]
		calls["Settle as "+outcome.String()] = func(ctx context.Context) error {
			return explained(only(t.c.Settle(ctx, []driver.Settlement{{
				Delivery: delivery, Outcome: outcome, Failures: 1, Reason: driver.ReasonAttempts, Error: "failed", Delay: time.Hour,
			}})), true)
		}
	}
	calls["Extend"] = func(ctx context.Context) error { return explained(only(t.c.Extend(ctx, held[3:])), false) }
	calls["Receive"] = func(ctx context.Context) error { _, err := t.c.Receive(ctx, 1); return explained(err, true) }
	calls["Abandon"] = func(ctx context.Context) error { t.c.Abandon(ctx, held[2:3]); return nil }
	if l, ok := bare(t.d).(driver.QueueLister); ok {
		calls["ListQueues"] = func(ctx context.Context) error { _, err := l.ListQueues(ctx); return explained(err, true) }
	}
	return calls
}

// enqueue stores a job by one of the calls that do, and notes what was said of it.
func (t *deadlineTest) enqueue(ctx context.Context, how string) error {
	t.mu.Lock()
	t.tried++
	m := message(fmt.Sprintf("tried-%d-%s", t.tried, how))
	t.mu.Unlock()
	var err error
	switch how {
	case "EnqueueAtomic":
		err = bare(t.d).(driver.AtomicEnqueuer).EnqueueAtomic(ctx, t.truth, []*driver.Message{m})
	case "Import":
		e := entry(m.ID, driver.StateWaiting)
		err = stored(bare(t.d).(driver.Importer).Import(ctx, t.truth, []*driver.Entry{e}))
	default:
		err = stored(t.d.Enqueue(ctx, t.truth, []*driver.Message{m}))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil || driver.FateOf(err) == driver.FateNotStored {
		t.fates[m.ID] = err == nil
	}
	return err
}

// stored is the error of the results for one job, which may be nil.
func stored(results []driver.Result) error {
	for _, r := range results {
		return r.Err
	}
	return nil
}

// goesOn ends the case unless the handle works, and its consumer receives.
func (t *deadlineTest) goesOn() {
	t.eventually("enqueuing on the handle when the broker can be had again", func() error {
		ctx, cancel := context.WithTimeout(t.ctx, 2*time.Second)
		defer cancel()
		return t.enqueue(ctx, "Enqueue")
	})
	t.eventually("declaring what may have been deleted", func() error { return t.d.Declare(t.ctx, t.scratch) })
	t.put(t.open(), message("after"))
	t.eventually("receiving on the consumer when the broker can be had again", func() error {
		ctx, cancel := t.by(t.lease() + t.overdue())
		defer cancel()
		for {
			got, err := single(t.c.Receive(ctx, 1))
			if err != nil {
				return err
			}
			if got.ID == "after" {
				return nil
			}
		}
	})
}

// closes closes the consumer and the handle while calls on them are under way.
func (t *deadlineTest) closes() {
	var all sync.WaitGroup
	for what, call := range map[string]func(context.Context) error{
		"Receive, during Close": func(ctx context.Context) error { _, err := t.c.Receive(ctx, 1); return explained(err, true) },
		"Enqueue, during Close": func(ctx context.Context) error { return explained(t.enqueue(ctx, "Enqueue"), true) },
	} {
		all.Go(func() { t.within(what, 4*deadline, call) })
	}
	for what, end := range map[string]func(context.Context) error{"Stop": t.c.Stop, "Close of the consumer": t.c.Close, "Close": t.d.Close} {
		for _, time := range []string{"the first ", "the second "} {
			t.within(time+what, deadline, func(ctx context.Context) error { _ = end(ctx); return nil })
		}
	}
	all.Wait()
}

// told ends the case unless what was said of the jobs is true.
func (t *deadlineTest) told() {
	d := t.open()
	c := t.consumeFrom(d, t.truth, 1)
	there := make(map[string]bool)
	left := 0
	for _, is := range t.fates {
		if is {
			left++
		}
	}
	take := func(got *driver.Delivery) {
		if is, ok := t.fates[got.ID]; ok && !is {
			t.problem("%s is there, although its enqueue said that it is certainly not stored", got.ID)
		} else if ok && !there[got.ID] {
			left--
		}
		there[got.ID] = true
		t.settle(c, got, driver.OutcomeDone)
	}
	for left > 0 {
		take(t.receiveOne(c))
	}
	for {
		ctx, cancel := context.WithTimeout(t.ctx, silence)
		got, err := single(c.Receive(ctx, 1))
		cancel()
		if err != nil {
			t.is(err, context.DeadlineExceeded, "receive what may be stored")
			return
		}
		take(got)
	}
}
