package memory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestModel drives the driver and the model with the same random operations and
// compares everything that can be seen.
func TestModel(t *testing.T) {
	r, seed := random(t)
	for range 8 {
		inner := rand.New(rand.NewPCG(r.Uint64(), 1))
		synctest.Test(t, func(t *testing.T) {
			s := newModelRun(t, inner, seed)
			for range 400 {
				s.step()
			}
			s.drain()
		})
	}
}

type modelRun struct {
	*rig
	r         *rand.Rand
	model     *model
	broker    *Broker
	consumers []driver.Consumer
	given     []*driver.Delivery // all that were ever handed out
	last      int
	seed      uint64
}

func newModelRun(t *testing.T, r *rand.Rand, seed uint64) *modelRun {
	s := &modelRun{r: r, seed: seed, model: &model{keys: map[string]modelKey{}, window: time.Minute}}
	s.rig = newRig(t, Options{DedupWindow: s.model.window, MaxJobs: 300})
	s.broker = s.d.Broker()
	s.reopen()
	return s
}

func (s *modelRun) fatal(format string, args ...any) {
	s.Helper()
	s.Fatalf("BATCH_SEED=%d: %s", s.seed, fmt.Sprintf(format, args...))
}

func (s *modelRun) reopen() {
	s.consumers = []driver.Consumer{s.consume(time.Second), s.consume(3 * time.Second)}
	s.c = s.consumers[0]
}

func (s *modelRun) step() {
	s.Helper()
	s.model.advance(time.Now())
	switch p := s.r.IntN(100); {
	case p < 25:
		s.enqueue()
	case p < 28:
		s.enqueueAtomic()
	case p < 30:
		s.importSome()
	case p < 55:
		s.receive()
	case p < 80:
		s.settleSome()
	case p < 85:
		s.extend()
	case p < 89:
		time.Sleep(time.Duration(s.r.IntN(1500)) * time.Millisecond)
	case p < 92:
		s.pause()
	case p < 95:
		s.redriveOrDiscard()
	case p < 98:
		s.remove()
	case p < 99:
		s.crash()
	case s.r.IntN(3) == 0:
		s.purge()
	}
	s.model.advance(time.Now())
	s.compare()
}

func (s *modelRun) random() *driver.Message {
	s.last++
	m := message(fmt.Sprint("j", s.last))
	m.Level = driver.Level(s.r.IntN(levels) - 2)
	switch s.r.IntN(4) {
	case 0:
		m.Group = fmt.Sprint("g", s.r.IntN(4))
	case 1:
		m.Delay = time.Duration(s.r.IntN(4000)) * time.Millisecond
	}
	if s.r.IntN(3) == 0 {
		m.DedupKey = fmt.Sprint("k", s.r.IntN(30))
		if s.r.IntN(2) == 0 {
			m.DedupWithin = time.Second + time.Duration(s.r.IntN(10_000))*time.Millisecond
		}
	}
	return m
}

func (s *modelRun) store(m *driver.Message) {
	now := time.Now()
	j := &modelJob{m: *m, since: now}
	j.m.Delay = 0
	s.model.jobs = append(s.model.jobs, j)
	if m.DedupKey != "" {
		within := m.DedupWithin
		if within == 0 {
			within = s.model.window
		}
		s.model.keys[m.DedupKey] = modelKey{m.ID, now.Add(within), j}
	}
	j.place = -1
	if m.Delay > 0 {
		s.model.schedule(j, now.Add(m.Delay))
		return
	}
	j.place = s.model.place()
}

func (s *modelRun) left() int {
	return s.broker.capacity.maxJobs - len(s.model.in(modelWaiting, modelScheduled, modelRunning, modelDead))
}

func (s *modelRun) enqueue() {
	var batch []*driver.Message
	for range 1 + s.r.IntN(6) {
		batch = append(batch, s.random())
	}
	results := s.d.Enqueue(s.Context(), "q", batch)
	for i, m := range batch {
		var got driver.Result
		if results != nil {
			got = results[i]
		}
		key, dup := s.model.keys[m.DedupKey]
		switch {
		case dup:
			if got.Err != nil || !got.Duplicate || got.DuplicateOf != key.id {
				s.fatal("%s has the key of %s: got %+v", m.ID, key.id, got)
			}
		case s.left() == 0:
			s.is(got.Err, driver.ErrFull)
		default:
			if got != (driver.Result{}) {
				s.fatal("enqueue of %s: %+v", m.ID, got)
			}
			s.store(m)
		}
	}
}

func (s *modelRun) enqueueAtomic() {
	var batch []*driver.Message
	keys := map[string]bool{}
	dup := false
	for range 1 + s.r.IntN(3) {
		m := s.random()
		_, taken := s.model.keys[m.DedupKey]
		dup = dup || m.DedupKey != "" && (taken || keys[m.DedupKey])
		keys[m.DedupKey] = true
		batch = append(batch, m)
	}
	err := s.d.EnqueueAtomic(s.Context(), "q", batch)
	switch {
	case dup:
		s.is(err, driver.ErrDuplicate)
	case s.left() < len(batch):
		s.is(err, driver.ErrFull)
	default:
		s.ok(err)
		for _, m := range batch {
			s.store(m)
		}
	}
}

func (s *modelRun) receive() {
	i := s.r.IntN(len(s.consumers))
	c := s.consumers[i]
	max := 1 + s.r.IntN(5)
	wait := time.Duration(s.r.IntN(2000))*time.Millisecond + time.Microsecond
	until := time.Now().Add(wait)
	// What will be there first, and when?
	want := s.model.eligible()
	for len(want) == 0 {
		next := s.model.next()
		if next.Equal(until) {
			return // a tie that may go either way
		}
		if next.IsZero() || next.After(until) {
			break
		}
		s.model.advance(next)
		want = s.model.eligible()
	}
	want = want[:min(max, len(want))]
	ctx, cancel := context.WithDeadline(s.Context(), until)
	defer cancel()
	got, err := c.Receive(ctx, max)
	if len(want) == 0 {
		if !errors.Is(err, context.DeadlineExceeded) || !time.Now().Equal(until) {
			s.fatal("received %v, %v; want nothing until the deadline", ids(got), err)
		}
		return
	}
	s.ok(err)
	if len(got) != len(want) {
		s.fatal("received %v, want %d", ids(got), len(want))
	}
	for k, d := range got {
		j := want[k]
		if d.ID != j.m.ID || string(d.Body) != string(j.m.Body) || d.Level != j.m.Level || d.Group != j.m.Group {
			s.fatal("received %v, want %s at %d", ids(got), j.m.ID, k)
		}
		j.deliveries++
		if d.Bounces != j.bounces || !d.BouncedSince.Equal(j.bouncedSince) {
			s.fatal("job %s has %d bounces since %s, want %d since %s", d.ID, d.Bounces, d.BouncedSince, j.bounces, j.bouncedSince)
		}
		if d.LastError != j.lastError {
			s.fatal("job %s has last error %q, want %q", d.ID, d.LastError, j.lastError)
		}
		s.history(d, j.failures, j.deliveries, j.redeliveries)
		j.state, j.holder, j.at = modelRunning, d, time.Now().Add(c.Lease())
	}
	s.given = append(s.given, got...)
}

func (s *modelRun) check(j *modelJob, e driver.Entry) {
	s.Helper()
	states := map[modelState]driver.State{modelWaiting: driver.StateWaiting, modelScheduled: driver.StateScheduled, modelDead: driver.StateDead}
	if e.ID != j.m.ID || e.State != states[j.state] || e.Failures != j.failures || e.Deliveries != j.deliveries ||
		e.Bounces != j.bounces || !e.BouncedSince.Equal(j.bouncedSince) || e.DedupKey != j.m.DedupKey || e.DedupWithin != 0 ||
		e.State == driver.StateDead && !e.DeadAt.Equal(j.at) ||
		e.LastError != j.lastError || e.Reason != j.reason || e.State == driver.StateScheduled && !e.DueAt.Equal(j.at) {
		s.fatal("entry %+v, want %+v", e, j)
	}
}

// compare looks at all that can be seen from outside.
func (s *modelRun) compare() {
	s.Helper()
	waiting, scheduled, dead := s.model.in(modelWaiting), s.model.in(modelScheduled), s.model.in(modelDead)
	running := s.model.in(modelRunning)
	s.depth(int64(len(waiting)), int64(len(scheduled)), int64(len(running)), int64(len(dead)))
	if depth, err := s.d.Depth(s.Context(), "q"); err != nil || depth.Age != s.model.age(time.Now()) {
		s.fatal("the age is %s, %v, want %s", depth.Age, err, s.model.age(time.Now()))
	}
	if _, jobs := s.broker.capacity.used(); jobs != s.broker.capacity.maxJobs-s.left() {
		s.fatal("capacity counts %d jobs", jobs)
	}
	if paused, err := s.d.Paused(s.Context(), "q"); err != nil || paused != s.model.paused {
		s.fatal("paused %v, %v", paused, err)
	}
	slices.SortFunc(waiting, byLine)
	slices.SortFunc(scheduled, byTime)
	slices.SortFunc(dead, byTime)
	size := 1 + s.r.IntN(20)
	for state, want := range map[driver.State][]*modelJob{driver.StateWaiting: waiting, driver.StateScheduled: scheduled, driver.StateDead: dead} {
		got := listAll(s.rig, state, size)
		if len(got) != len(want) {
			s.fatal("%d jobs are listed as %s, want %d", len(got), state, len(want))
		}
		for i := range got {
			s.check(want[i], got[i])
		}
	}
}

// drain works everything off, and finds all that was confirmed.
func (s *modelRun) drain() {
	s.ok(s.d.Resume(s.Context(), "q"))
	s.model.paused = false
	finished := map[string]bool{}
	for {
		s.model.advance(time.Now())
		if len(s.model.in(modelWaiting, modelScheduled, modelRunning)) == 0 {
			break
		}
		got, err := s.consumers[0].Receive(s.Context(), 10)
		s.ok(err)
		s.model.advance(time.Now())
		for _, d := range got {
			if finished[d.ID] {
				s.fatal("job %s came back after it was done", d.ID)
			}
			finished[d.ID] = true
			i := slices.IndexFunc(s.model.jobs, func(j *modelJob) bool { return j.m.ID == d.ID })
			if i < 0 || s.model.jobs[i].state != modelWaiting {
				s.fatal("job %s was handed out", d.ID)
			}
			s.model.jobs[i].state = modelGone
			s.end(d, driver.OutcomeDone)
		}
	}
	_, err := s.d.Discard(s.Context(), "q", driver.Selection{All: true})
	s.ok(err)
	s.depth(0, 0, 0, 0)
	time.Sleep(s.model.window)
	s.depth(0, 0, 0, 0)
	if bytes, jobs := s.broker.capacity.used(); bytes != 0 || jobs != 0 {
		s.fatal("an empty broker counts %d bytes and %d jobs", bytes, jobs)
	}
	q := s.broker.queue("q")
	if len(q.groups.lists.entries) != 0 || len(q.deadByID.lists.entries) != 0 || len(q.keys.byKey.entries) != 0 {
		s.fatal("an empty queue keeps groups, dead letters or keys")
	}
}

// listAll lists a state in pages.
func listAll(r *rig, state driver.State, size int) []driver.Entry {
	r.Helper()
	var all []driver.Entry
	cursor := ""
	for {
		page, next, err := r.d.List(r.Context(), "q", state, cursor, size)
		r.ok(err)
		if len(page) > size || next != "" && len(page) == 0 {
			r.Fatalf("a page of %d, at most %d asked, next %q", len(page), size, next)
		}
		all = append(all, page...)
		if next == "" {
			return all
		}
		cursor = next
	}
}
