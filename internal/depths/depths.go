// Package depths asks a broker for the depths of queues, on behalf of what asks again and again: scrapes, probes and
// autoscalers. All that ask at the same time share one look at the broker, and so do all that ask for a while after it.
// There is never a second look while one is under way, so that nothing piles up on a broker that is away.
package depths

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
)

// parallel is how many queues are asked about at the same time. Most brokers answer in a round trip, and a few at a time
// keep a list of a thousand queues from being a burst.
const parallel = 8

// Queue is what is known of one queue.
type Queue struct {
	Name string
	// Depth has unknown counts and an unknown age if Err is not nil.
	Depth batch.Depth
	Err   error
	// At is when this was answered, zero if nothing has been yet.
	At time.Time
	// Paused tells whether the queue is paused, nil if that is unknown or is not asked: see [Source.AskPaused].
	Paused *bool
}

// Each calls ask for each of n queues, a few at the same time, and returns when all calls have.
func Each(n int, ask func(i int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(parallel, n) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				ask(i)
			}
		})
	}
	all.Wait()
}

// unknown is the depth of a queue of which nothing is known.
var unknown = batch.Depth{
	Waiting: batch.UnknownCount, Scheduled: batch.UnknownCount, Running: batch.UnknownCount,
	Dead: batch.UnknownCount, Due: batch.UnknownCount, Age: batch.UnknownAge,
}

// Backlog is how many jobs need a worker that has not taken them: those that wait, and those that are due and stay where
// they are until a worker looks for them. It is [batch.UnknownCount] if the first number is unknown. If the second is,
// there may be one, and it counts as one: what starts workers by it must not leave that job alone for ever.
func (q Queue) Backlog() int64 {
	switch {
	case q.Depth.Waiting < 0:
		return batch.UnknownCount
	case q.Depth.Due < 0:
		return q.Depth.Waiting + 1
	}
	return q.Depth.Waiting + q.Depth.Due
}

// Demand is the backlog and the jobs that workers hold, [batch.UnknownCount] if either is unknown.
func (q Queue) Demand() int64 {
	backlog := q.Backlog()
	if backlog < 0 || q.Depth.Running < 0 {
		return batch.UnknownCount
	}
	return backlog + q.Depth.Running
}

// Source knows the depths of some queues. It is safe for concurrent use.
type Source struct {
	queues []*batch.QueueAdmin
	// timeout bounds a look, and keep is how long its answers are good after it.
	timeout, keep time.Duration
	paused        bool // ask that, too

	ctx    context.Context // of the looks
	cancel context.CancelFunc

	mu   sync.Mutex // guards following
	last *look      // nil before the first
}

// look is one look at all queues.
type look struct {
	started time.Time
	done    chan struct{} // closed when all has been answered, or the calls have ended

	mu     sync.Mutex // guards following
	ended  time.Time  // zero while it is under way
	queues []Queue
}

// New makes a source. It does not talk to the broker. The error wraps [batch.ErrInvalid], and is about the driver, the
// names or a time: the timeout is 1 ms to a minute, and answers are kept for an hour at most.
func New(d batch.Driver, names []string, timeout, keep time.Duration) (*Source, error) {
	if len(names) == 0 {
		return nil, &batch.InvalidError{Field: "Queues", Bound: "a list of at least one queue"}
	}
	if err := within("Timeout", timeout, time.Millisecond, time.Minute); err != nil {
		return nil, err
	}
	if err := within("CacheFor", keep, 0, time.Hour); err != nil {
		return nil, err
	}
	s := &Source{timeout: timeout, keep: keep}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if seen[name] {
			return nil, &batch.InvalidError{Field: "Queues", Value: fmt.Sprintf("names %q twice", name), Bound: "a list that names each queue once"}
		}
		seen[name] = true
		q, err := batch.Admin(d, name)
		if err != nil {
			return nil, err
		}
		s.queues = append(s.queues, q)
	}
	return s, nil
}

// AskPaused makes each look ask of each queue, too, whether it is paused, where the broker can pause. It is called before
// the first Read.
func (s *Source) AskPaused() { s.paused = true }

// Close ends a look that is under way, and waits for it until ctx ends. A Read afterwards finds nothing. Only a source
// that is given up before the program ends needs it.
func (s *Source) Close(ctx context.Context) {
	s.cancel()
	s.mu.Lock()
	last := s.last
	s.mu.Unlock()
	if last == nil {
		return
	}
	select {
	case <-last.done:
	case <-ctx.Done():
	}
}

// within refuses a time that is out of bounds.
func within(field string, d, least, most time.Duration) error {
	if d < least || d > most {
		return &batch.InvalidError{Field: field, Value: d.String(), Bound: fmt.Sprintf("%s to %s", least, most)}
	}
	return nil
}

// Read returns what is known of the queues, in the order in which they were named. It waits until the look is done, its
// timeout has passed or ctx ends, and not at all if the answers of the last look are still good.
func (s *Source) Read(ctx context.Context) []Queue {
	l := s.current()
	asked := time.Now()
	rest := time.NewTimer(l.started.Add(s.timeout).Sub(asked))
	defer rest.Stop()
	select {
	case <-l.done:
	case <-rest.C:
	case <-ctx.Done():
	}
	return l.answers(asked.Sub(l.started) > s.timeout+s.keep)
}

// current is the look to read from: the one that is under way, or the last one if it is good, or a new one.
func (s *Source) current() *look {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last != nil && s.last.good(s.keep) {
		return s.last
	}
	l := &look{started: time.Now(), done: make(chan struct{}), queues: make([]Queue, len(s.queues))}
	if s.ctx.Err() != nil { // closed: nobody is asked
		l.ended = l.started
		close(l.done)
	}
	none := fmt.Errorf("the broker has not answered: %w", context.DeadlineExceeded)
	for i, q := range s.queues {
		l.queues[i] = Queue{Name: q.Name(), Depth: unknown, Err: none}
	}
	s.last = l
	if l.ended.IsZero() {
		go s.ask(l)
	}
	return l
}

// Looking tells whether a look is under way.
func (s *Source) Looking() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last != nil && s.last.underWay()
}

// underWay tells whether a look is.
func (l *look) underWay() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended.IsZero()
}

// good tells whether a look is under way, or was a short time ago.
func (l *look) good(keep time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended.IsZero() || time.Since(l.ended) < keep
}

// ask looks. It belongs to no caller: what it finds is for those, too, that come after the first has gone.
func (s *Source) ask(l *look) {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout)
	defer cancel()
	Each(len(s.queues), func(i int) {
		depth, err := s.queues[i].Depth(ctx)
		l.answered(i, depth, s.isPaused(ctx, i, err), err)
	})
	l.mu.Lock()
	l.ended = time.Now()
	l.mu.Unlock()
	close(l.done)
}

// isPaused asks whether a queue is paused, if that is to be asked and the depth was answered.
func (s *Source) isPaused(ctx context.Context, i int, err error) *bool {
	if !s.paused || err != nil || !s.queues[i].CanPause() {
		return nil
	}
	is, err := s.queues[i].Paused(ctx)
	if err != nil {
		return nil
	}
	return &is
}

// answered notes the answer about one queue.
func (l *look) answered(i int, depth batch.Depth, paused *bool, err error) {
	if err != nil {
		depth = unknown
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	q := &l.queues[i]
	q.Depth, q.Paused, q.Err, q.At = depth, paused, err, time.Now()
}

// ErrHung is about a look that does not end. It keeps others from being begun.
var ErrHung = errors.New("an earlier call to the broker has not returned, although its time has passed")

// answers are those that there are by now. They are worth nothing if they were old already when they were asked for,
// which happens only if a call does not end with its context.
func (l *look) answers(old bool) []Queue {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.Clone(l.queues)
	if l.ended.IsZero() && old {
		for i := range all {
			all[i].Depth, all[i].Err = unknown, ErrHung
		}
	}
	return all
}
