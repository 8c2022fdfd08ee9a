package cron

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// Scheduler enqueues the jobs of schedules on a queue when they are due. Any number of
// processes may each run one for the same schedules. While it runs it has a goroutine for
// each of them. It is safe for concurrent use.
type Scheduler[D batch.Driver] struct {
	means   means[D]
	source  Source[D]
	running atomic.Bool
}

// ErrRunning: the scheduler runs already.
var ErrRunning = errors.New("cron: the scheduler runs already")

// New makes a scheduler on a broker with unique keys. Of all processes that run it, each
// tick is stored once: under a key that follows from the schedule's name and the tick, by
// the process that comes first. No process leads.
//
// That holds as long as clocks are within [WithMaxSkew] and the broker keeps its keys. A
// key is needed for as long as a process may still try to store the tick: the time of
// Missed, twice MaxSkew, and 30 s for the call itself. That must not be longer than the
// driver's DedupWindow.
//
// A mistake is a programming error and panics; [TryNew] returns it.
func New[D batch.Deduplicator](q *batch.Queue[D], source Source[D], options ...Option) *Scheduler[D] {
	return must(TryNew(q, source, options...))
}

// TryNew is [New], but returns mistakes as errors, which wrap [batch.ErrInvalid].
func TryNew[D batch.Deduplicator](q *batch.Queue[D], source Source[D], options ...Option) (*Scheduler[D], error) {
	s, err := newScheduler(q, source, options)
	switch {
	case err != nil:
		return nil, err
	case s.means.claim != 0:
		return nil, &batch.InvalidError{Field: "Claim", Value: s.means.claim.String(), Bound: "given to NewWithStore: New claims nothing"}
	}
	s.means.once = unique[D]{q}
	return s, s.checkFixed()
}

// NewWithStore makes a scheduler on any broker, with a store in which the processes claim
// ticks. The store must be one that they share.
//
// Each tick is stored at least once, and a second time only if a process dies, or loses the
// store, between storing the job and marking the claim, or if it cannot tell whether the
// job was stored ([batch.FateUnknown]). Both jobs have the same ID, which is [Tick.Key], so
// that the handler runs once behind idempotency.Middleware.
//
// A mistake is a programming error and panics; [TryNewWithStore] returns it.
func NewWithStore[D batch.Driver](q *batch.Queue[D], store idempotency.Store, source Source[D], options ...Option) *Scheduler[D] {
	return must(TryNewWithStore(q, store, source, options...))
}

// TryNewWithStore is [NewWithStore], but returns mistakes as errors, which wrap
// [batch.ErrInvalid].
func TryNewWithStore[D batch.Driver](q *batch.Queue[D], store idempotency.Store, source Source[D], options ...Option) (*Scheduler[D], error) {
	s, err := newScheduler(q, source, options)
	switch {
	case err != nil:
		return nil, err
	case store == nil:
		return nil, &batch.InvalidError{Field: "store", Value: "nil", Bound: "an idempotency.Store"}
	case s.means.claim == 0:
		s.means.claim = 30 * time.Second
	}
	s.means.once = claimed[D]{guarded{store}, s.means.claim}
	return s, s.checkFixed()
}

// must panics with a mistake of the program.
func must[D batch.Driver](s *Scheduler[D], err error) *Scheduler[D] {
	if err != nil {
		panic(err.Error())
	}
	return s
}

// newScheduler makes one that lacks the means to store a tick once.
func newScheduler[D batch.Driver](q *batch.Queue[D], source Source[D], options []Option) (*Scheduler[D], error) {
	switch {
	case q == nil:
		return nil, &batch.InvalidError{Field: "queue", Value: "nil", Bound: "a *batch.Queue"}
	case source == nil:
		return nil, &batch.InvalidError{Field: "source", Value: "nil", Bound: "a Source, such as Fixed"}
	}
	c, err := newConfig(options)
	if err != nil {
		return nil, err
	}
	t := &teller{queue: q.Name(), log: c.log, observer: c.observer, repeated: make(map[EventKind]repeated)}
	return &Scheduler[D]{means: means[D]{config: c, queue: q, teller: t}, source: source}, nil
}

// checkFixed refuses a fixed list in which something is wrong, also with a job.
func (s *Scheduler[D]) checkFixed() error {
	list, ok := s.source.(fixed[D])
	if !ok {
		return nil
	}
	valid, refused := s.means.sound(list)
	var errs []error
	for _, r := range refused {
		errs = append(errs, r.err)
	}
	for _, name := range slices.Sorted(maps.Keys(valid)) {
		if err := s.means.checkJob(valid[name]); err != nil {
			errs = append(errs, fmt.Errorf("schedule %s: %w", shorten(name), err))
		}
	}
	return errors.Join(errs...)
}

// checkJob refuses a job that could never be stored. What Make makes is not known, and a
// codec that is told of the job may ask others, who may be away now.
func (m *means[D]) checkJob(e *Entry[D]) error {
	if _, asks := m.queue.Codec().(batch.JobCodec); asks || e.Make != nil {
		return nil
	}
	tick := Tick{Queue: m.queue.Name(), Schedule: e.Name, Time: m.clock.Now()}
	_, err := m.queue.Prepare(context.Background(), e.Args, m.optionsOf(e, tick)...)
	return err
}

// Run enqueues jobs until ctx ends, and then returns nil. A call to the broker that is under
// way has 5 s then, and a call to the store 5 s after that; only an [Entry].Make or a
// [Func] that does not return holds Run up for longer. What could not be stored is told, by
// [TickLeft]. While Run runs, a second call returns [ErrRunning]; afterwards it may run again. If the
// driver is closed, Run returns an error that wraps [batch.ErrClosed]; nothing else ends
// it, as all other failures may pass.
func (s *Scheduler[D]) Run(ctx context.Context) error {
	if !s.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer s.running.Store(false)
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := &crew[D]{means: &s.means, source: s.source, runners: make(map[string]*runner[D]), stop: stop}
	c.follow(ctx)
	c.all.Wait()
	if err := context.Cause(ctx); errors.Is(err, batch.ErrClosed) {
		return err
	}
	return nil
}
