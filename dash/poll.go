package dash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/depths"
)

const (
	// relist is how often the broker is asked for the names of its queues, at most, and relistShare how many times as long
	// as the answer took there is until the next time: what that costs may grow with all that the broker holds. Redis goes
	// through all its keys.
	relist, relistShare = 15 * time.Second, 50
	// idleAfter is when nobody looks any more, and idleInterval how often the broker is asked then.
	idleAfter, idleInterval = 10 * time.Minute, time.Minute
	// lookTimeout bounds one look at all queues. No page waits for it.
	lookTimeout = time.Minute
	// firstWait is how long a page waits for the first answers there are.
	firstWait = time.Second
	// closeWait is how long Close waits for calls to end that were cancelled.
	closeWait = 5 * time.Second
	// maxQueues is how many queues are shown at most: to ask for more all the time is what a dashboard should not do.
	maxQueues = 5000
)

// status is what is known of a queue.
type status struct {
	Name  string
	Depth batch.Depth // the last that was told
	At    time.Time   // when it was, zero for never
	// Paused is nil where that is unknown.
	Paused *bool
	// Err is why the last look found nothing, and nil if it did.
	Err   error
	tried time.Time
	past  history
}

// poll asks the broker for all, however many look at it: one look at a time for the whole process.
type poll struct {
	driver   batch.Driver
	interval time.Duration
	fixed    bool // the names are those of the Config

	cancel context.CancelFunc
	wake   chan struct{} // somebody looks after a long time
	calls  sync.WaitGroup

	mu       sync.Mutex // guards following
	closed   bool
	source   *depths.Source
	order    []string // of the names
	queues   map[string]*status
	listErr  error     // of the last list
	listed   time.Time // when the names were told, zero for never
	relistAt time.Time // when they are to be asked for again
	asking   bool
	cut      bool          // there are more than maxQueues
	fresh    chan struct{} // closed by the next look that has found something, nil if there is nothing to wait for
	seen     time.Time     // when somebody looked
	resumed  time.Time     // when somebody did after a long time
	answered time.Time     // when the broker told anything last
}

// newPoll begins to ask.
func newPoll(d batch.Driver, names []string, interval time.Duration) (*poll, error) {
	p := &poll{
		driver: d, interval: interval, fixed: len(names) > 0,
		wake: make(chan struct{}, 1), fresh: make(chan struct{}),
		queues: make(map[string]*status), seen: time.Now(),
	}
	if len(names) > maxQueues {
		return nil, &batch.InvalidError{Field: "Queues", Value: fmt.Sprint(len(names)), Bound: fmt.Sprintf("%d names at most", maxQueues)}
	}
	if p.fixed {
		if err := p.setNames(slices.Sorted(slices.Values(names))); err != nil {
			return nil, err
		}
	} else if !canList(d) {
		_, err := batch.AdminQueues(context.Background(), d)
		return nil, &batch.InvalidError{Field: "Queues", Bound: "the names of the queues to show, as this broker cannot list its own", Err: err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.calls.Go(func() { p.run(ctx) })
	return p, nil
}

// canList tells whether the broker can list its queues.
func canList(d batch.Driver) bool {
	_, can := d.(driver.QueueLister)
	return can
}

// run looks until ctx ends.
func (p *poll) run(ctx context.Context) {
	for {
		begun := time.Now()
		p.list(ctx)
		p.look(ctx)
		p.tell()
		rest := time.NewTimer(time.Until(begun.Add(p.rest())))
		select {
		case <-ctx.Done():
			rest.Stop()
			return
		case <-rest.C:
		case <-p.wake:
			rest.Stop()
		}
	}
}

// tell lets the pages go on that wait for a look, if it has found something.
func (p *poll) tell() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fresh != nil && p.knows() {
		close(p.fresh)
		p.fresh = nil
	}
}

// knows tells whether a page has something to show: all were asked once. p.mu must be held.
func (p *poll) knows() bool {
	if !p.fixed && p.listed.IsZero() {
		return p.listErr != nil
	}
	for _, q := range p.queues {
		if q.tried.IsZero() {
			return false
		}
	}
	return true
}

// rest is how long it is from one look to the next.
func (p *poll) rest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.seen) > idleAfter {
		return max(p.interval, idleInterval)
	}
	return p.interval
}

// list asks for the names of queues if it is time, and waits an interval for them at most. New names begin a new look, so
// it is not time while one is under way: the last queues of a slow one would never be looked at.
func (p *poll) list(ctx context.Context) {
	p.mu.Lock()
	due := !p.fixed && !p.asking && time.Now().After(p.relistAt) && (p.source == nil || !p.source.Looking())
	p.asking = p.asking || due
	p.mu.Unlock()
	if !due {
		return
	}
	done := make(chan struct{})
	p.calls.Go(func() {
		defer close(done)
		ctx, cancel := context.WithTimeout(ctx, lookTimeout)
		defer cancel()
		begun := time.Now()
		names, err := batch.AdminQueues(ctx, p.driver)
		p.learnNames(names, time.Since(begun), err)
	})
	rest := time.NewTimer(p.interval)
	defer rest.Stop()
	select {
	case <-done:
	case <-rest.C:
	}
}

// learnNames notes what the broker said of the names of its queues, and how long it took.
func (p *poll) learnNames(names []string, took time.Duration, err error) {
	p.mu.Lock()
	p.asking, p.listErr = false, err
	p.relistAt = time.Now() // after an error, with the next look
	if err == nil {
		p.relistAt = p.relistAt.Add(max(relist, relistShare*took) - p.interval/2)
		p.listed = time.Now()
		p.answered = p.listed
	}
	if err == nil {
		names, p.cut = p.fit(names)
	}
	same := slices.Equal(names, p.order)
	p.mu.Unlock()
	if err != nil || same {
		return
	}
	if err := p.setNames(names); err != nil {
		p.mu.Lock()
		p.listErr = err
		p.mu.Unlock()
	}
}

// fit leaves out what is no name of a queue or is there twice, which no broker should tell, and what is too much.
func (p *poll) fit(names []string) (fit []string, cut bool) {
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	names = slices.DeleteFunc(names, func(name string) bool {
		_, err := batch.Admin(p.driver, name)
		return err != nil
	})
	return names[:min(len(names), maxQueues)], len(names) > maxQueues
}

// setNames makes these the queues that are looked at. What was known of them stays.
func (p *poll) setNames(names []string) error {
	var source *depths.Source
	if len(names) > 0 {
		var err error
		if source, err = depths.New(p.driver, names, lookTimeout, p.interval/2); err != nil {
			return err
		}
		source.AskPaused()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed { // a list that came too late: nobody would close the source
		return nil
	}
	queues := make(map[string]*status, len(names))
	for _, name := range names {
		if queues[name] = p.queues[name]; queues[name] == nil {
			queues[name] = &status{Name: name}
		}
	}
	if old := p.source; old != nil {
		p.calls.Go(func() { closeSource(old) })
	}
	p.source, p.order, p.queues = source, slices.Clone(names), queues
	return nil
}

// closeSource ends a look that is under way.
func closeSource(s *depths.Source) {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	s.Close(ctx)
}

// look asks for the depths, and notes what is known after an interval at most. The rest of a slow look comes with the next.
func (p *poll) look(ctx context.Context) {
	p.mu.Lock()
	source := p.source
	p.mu.Unlock()
	if source == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, p.interval)
	defer cancel()
	answers := source.Read(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range answers {
		p.learn(&answers[i])
	}
}

// learn notes an answer that is new. p.mu must be held.
func (p *poll) learn(a *depths.Queue) {
	q := p.queues[a.Name]
	if q != nil && errors.Is(a.Err, depths.ErrHung) {
		q.Err = a.Err // nothing is told any more, and this is why
	}
	if q == nil || !a.At.After(q.tried) || errors.Is(a.Err, depths.ErrHung) {
		return
	}
	q.tried, q.Err = a.At, a.Err
	if a.Err == nil || errors.Is(a.Err, batch.ErrNotFound) {
		p.answered = a.At
	}
	if a.Err == nil {
		q.Depth, q.At, q.Paused = a.Depth, a.At, a.Paused
		q.past = q.past.add(sampleOf(a.Depth, a.At))
	}
}

// lookAgain asks for the depth of one queue, so that the page after an action has what it did. It is no harm if that fails.
func (p *poll) lookAgain(ctx context.Context, q *batch.QueueAdmin) {
	ctx, cancel := context.WithTimeout(ctx, firstWait)
	defer cancel()
	a := depths.Queue{Name: q.Name()}
	if a.Depth, a.Err = q.Depth(ctx); a.Err != nil {
		return
	}
	if paused, err := q.Paused(ctx); err == nil {
		a.Paused = &paused
	}
	a.At = time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.learn(&a)
}

// close ends the poll. The error says that a call to the broker goes on nevertheless.
func (p *poll) close() error {
	p.cancel()
	p.mu.Lock()
	source := p.source
	p.source, p.closed = nil, true
	p.mu.Unlock()
	if source != nil {
		closeSource(source)
	}
	ended := make(chan struct{})
	go func() {
		p.calls.Wait()
		close(ended)
	}()
	rest := time.NewTimer(closeWait)
	defer rest.Stop()
	select {
	case <-ended:
		return nil
	case <-rest.C:
		return errors.New("dash: a call to the broker has not ended, although it was cancelled")
	}
}
