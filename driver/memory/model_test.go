package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// random is a source of randomness whose seed is printed and comes from
// BATCH_SEED if that is set, to replay a failure.
func random(t *testing.T) (*rand.Rand, uint64) {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv("BATCH_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("BATCH_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("BATCH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0)), seed
}

// The model is the queue as a flat list, searched and sorted for every question.

type modelState int

const (
	modelWaiting modelState = iota
	modelScheduled
	modelRunning
	modelDead
	modelGone
)

type modelJob struct {
	m            driver.Message
	state        modelState
	place        int
	at           time.Time // due, died or lease's end
	failures     int
	lastError    string
	reason       string
	deliveries   int
	redeliveries int
	holder       *driver.Delivery
}

type model struct {
	jobs   []*modelJob // all that were ever confirmed
	places int
	marks  map[string]modelMark
	paused bool
	window time.Duration
}

type modelMark struct {
	id   string
	ends time.Time
}

func (m *model) place() int { m.places++; return m.places }

func (m *model) in(states ...modelState) []*modelJob {
	var list []*modelJob
	for _, j := range m.jobs {
		if slices.Contains(states, j.state) {
			list = append(list, j)
		}
	}
	return list
}

// turn is whether nothing of the job's group is before it.
func (m *model) turn(j *modelJob) bool {
	if j.m.Group == "" {
		return true
	}
	for _, o := range m.in(modelWaiting, modelScheduled, modelRunning) {
		if o.m.Group == j.m.Group && o.place < j.place {
			return false
		}
	}
	return true
}

func byLine(a, b *modelJob) int {
	return cmp.Or(cmp.Compare(b.m.Level, a.m.Level), cmp.Compare(a.place, b.place))
}

func byTime(a, b *modelJob) int {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.place, b.place))
}

// eligible is what can be handed out, in order.
func (m *model) eligible() []*modelJob {
	if m.paused {
		return nil
	}
	list := slices.DeleteFunc(m.in(modelWaiting), func(j *modelJob) bool { return !m.turn(j) })
	slices.SortFunc(list, byLine)
	return list
}

func (m *model) back(j *modelJob) {
	j.state = modelWaiting
	if j.m.Group == "" {
		j.place = m.place()
	}
}

func (m *model) schedule(j *modelJob, at time.Time) {
	j.state, j.at = modelScheduled, at
	if j.m.Group == "" {
		j.place = m.place()
	}
}

// advance brings the model up to now.
func (m *model) advance(now time.Time) {
	due := m.in(modelScheduled)
	slices.SortFunc(due, byTime)
	for _, j := range due {
		if !j.at.After(now) {
			m.back(j)
		}
	}
	for _, j := range m.in(modelRunning) {
		if !j.at.After(now) {
			m.lose(j)
		}
	}
	for k, v := range m.marks {
		if !v.ends.After(now) {
			delete(m.marks, k)
		}
	}
}

func (m *model) lose(j *modelJob) {
	j.state, j.holder = modelWaiting, nil
	j.redeliveries++
}

// next is when time brings something, or zero.
func (m *model) next() time.Time {
	var next time.Time
	for _, j := range m.in(modelScheduled, modelRunning) {
		if next.IsZero() || j.at.Before(next) {
			next = j.at
		}
	}
	return next
}

// TestModel drives the driver and the model with the same random operations and
// compares everything that can be seen.
func TestModel(t *testing.T) {
	r, seed := random(t)
	for range 12 {
		inner := rand.New(rand.NewPCG(r.Uint64(), 1))
		synctest.Test(t, func(t *testing.T) {
			s := newModelRun(t, inner, seed)
			for range 500 {
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
	s := &modelRun{r: r, seed: seed, model: &model{marks: map[string]modelMark{}, window: time.Minute}}
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
	case p < 30:
		s.enqueueAtomic()
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
	}
	return m
}

func (s *modelRun) store(m *driver.Message) {
	now := time.Now()
	j := &modelJob{m: *m}
	j.m.Delay = 0
	s.model.jobs = append(s.model.jobs, j)
	if m.DedupKey != "" {
		s.model.marks[m.DedupKey] = modelMark{m.ID, now.Add(s.model.window)}
	}
	j.place = -1
	if m.Delay > 0 {
		s.model.schedule(j, now.Add(m.Delay))
		return
	}
	j.place = s.model.place()
}

func (s *modelRun) room() int {
	return s.broker.room.maxJobs - len(s.model.in(modelWaiting, modelScheduled, modelRunning, modelDead))
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
		mark, dup := s.model.marks[m.DedupKey]
		switch {
		case dup:
			if got.Err != nil || !got.Duplicate || got.DuplicateOf != mark.id {
				s.fatal("%s has the key of %s: got %+v", m.ID, mark.id, got)
			}
		case s.room() == 0:
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
		_, taken := s.model.marks[m.DedupKey]
		dup = dup || m.DedupKey != "" && (taken || keys[m.DedupKey])
		keys[m.DedupKey] = true
		batch = append(batch, m)
	}
	err := s.d.EnqueueAtomic(s.Context(), "q", batch)
	switch {
	case dup:
		s.is(err, driver.ErrDuplicate)
	case s.room() < len(batch):
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
		if d.LastError != j.lastError {
			s.fatal("job %s has last error %q, want %q", d.ID, d.LastError, j.lastError)
		}
		s.history(d, j.failures, j.deliveries, j.redeliveries)
		j.state, j.holder, j.at = modelRunning, d, time.Now().Add(c.Lease())
	}
	s.given = append(s.given, got...)
}

func (s *modelRun) holder(d *driver.Delivery) *modelJob {
	for _, j := range s.model.in(modelRunning) {
		if j.holder == d {
			return j
		}
	}
	return nil
}

// some is a few deliveries, most of them held.
func (s *modelRun) some() []*driver.Delivery {
	var list []*driver.Delivery
	for _, j := range s.model.in(modelRunning) {
		if s.r.IntN(2) == 0 {
			list = append(list, j.holder)
		}
	}
	if len(s.given) > 0 && s.r.IntN(4) == 0 {
		list = append(list, s.given[s.r.IntN(len(s.given))])
	}
	return list
}

func (s *modelRun) settleSome() {
	var settlements []driver.Settlement
	for _, d := range s.some() {
		settlements = append(settlements, driver.Settlement{
			Delivery: d, Outcome: driver.Outcome(1 + s.r.IntN(4)),
			Delay:    time.Duration(s.r.IntN(3)*s.r.IntN(1000)) * time.Millisecond,
			Failures: d.Failures + 1, Reason: driver.ReasonAttempts, Error: fmt.Sprint("e", s.r.IntN(9)),
		})
	}
	errs := s.consumers[s.r.IntN(2)].Settle(s.Context(), settlements)
	for i, x := range settlements {
		var err error
		if errs != nil {
			err = errs[i]
		}
		j := s.holder(x.Delivery)
		if j == nil {
			s.is(err, driver.ErrLeaseLost)
			continue
		}
		s.ok(err)
		j.holder = nil
		if x.Outcome != driver.Done {
			j.redeliveries = 0
		}
		if x.Outcome == driver.Retry || x.Outcome == driver.Dead {
			j.failures, j.lastError = x.Failures, x.Error
		}
		switch {
		case x.Outcome == driver.Done:
			j.state = modelGone
		case x.Outcome == driver.Release:
			j.state = modelWaiting
		case x.Outcome == driver.Dead:
			j.state, j.at, j.place, j.reason = modelDead, time.Now(), s.model.place(), x.Reason
		case x.Delay > 0:
			s.model.schedule(j, time.Now().Add(x.Delay))
		default:
			s.model.back(j)
		}
	}
}

func (s *modelRun) extend() {
	list := s.some()
	c := s.consumers[s.r.IntN(2)]
	errs := c.Extend(s.Context(), list)
	for i, d := range list {
		var err error
		if errs != nil {
			err = errs[i]
		}
		if j := s.holder(d); j != nil {
			s.ok(err)
			j.at = time.Now().Add(c.Lease())
		} else {
			s.is(err, driver.ErrLeaseLost)
		}
	}
}

func (s *modelRun) pause() {
	s.model.paused = s.r.IntN(3) == 0
	if s.model.paused {
		s.ok(s.d.Pause(s.Context(), "q"))
	} else {
		s.ok(s.d.Resume(s.Context(), "q"))
	}
}

func (s *modelRun) redriveOrDiscard() {
	dead := s.model.in(modelDead)
	slices.SortFunc(dead, byTime)
	which := driver.Selection{All: s.r.IntN(2) == 0}
	if !which.All {
		dead = slices.DeleteFunc(dead, func(*modelJob) bool { return s.r.IntN(2) == 0 })
		for _, j := range dead {
			which.IDs = append(which.IDs, j.m.ID)
		}
		which.IDs = append(which.IDs, "no such job")
	}
	do := s.d.Redrive
	redrive := s.r.IntN(3) > 0
	if !redrive {
		do = s.d.Discard
	}
	n, err := do(s.Context(), "q", which)
	s.ok(err)
	if n != len(dead) {
		s.fatal("%d dead letters, want %d", n, len(dead))
	}
	for _, j := range dead {
		j.state = modelGone
		if redrive {
			j.state, j.place = modelWaiting, s.model.place()
			j.failures, j.deliveries, j.lastError, j.reason = 0, 0, "", ""
		}
	}
}

func (s *modelRun) remove() {
	if len(s.model.jobs) == 0 {
		return
	}
	j := s.model.jobs[s.r.IntN(len(s.model.jobs))]
	found, err := s.d.Find(s.Context(), "q", j.m.ID)
	if j.state == modelRunning || j.state == modelGone {
		s.is(err, driver.ErrNotFound)
		s.is(s.d.Delete(s.Context(), "q", j.m.ID), driver.ErrNotFound)
		return
	}
	s.ok(err)
	s.check(j, found)
	s.ok(s.d.Delete(s.Context(), "q", j.m.ID))
	j.state = modelGone
}

func (s *modelRun) crash() {
	old, oldConsumer := s.d, s.consumers[0]
	s.broker.Crash()
	for _, j := range s.model.in(modelRunning) {
		s.model.lose(j)
	}
	s.is(old.Declare(s.Context(), "q"), driver.ErrUnavailable)
	_, err := oldConsumer.Receive(s.Context(), 1)
	s.is(err, driver.ErrUnavailable)
	s.ok(old.Close(s.Context()))
	d, err := s.broker.Open()
	s.ok(err)
	s.d = d
	s.Cleanup(func() { _ = d.Close(context.Background()) })
	s.reopen()
}

func (s *modelRun) check(j *modelJob, e driver.Entry) {
	s.Helper()
	states := map[modelState]driver.State{modelWaiting: driver.Waiting, modelScheduled: driver.Scheduled, modelDead: driver.DeadLettered}
	if e.ID != j.m.ID || e.State != states[j.state] || e.Failures != j.failures || e.Deliveries != j.deliveries ||
		e.LastError != j.lastError || e.Reason != j.reason || e.State == driver.Scheduled && !e.DueAt.Equal(j.at) {
		s.fatal("entry %+v, want %+v", e, j)
	}
}

// compare looks at all that can be seen from outside.
func (s *modelRun) compare() {
	s.Helper()
	waiting, scheduled, dead := s.model.in(modelWaiting), s.model.in(modelScheduled), s.model.in(modelDead)
	running := s.model.in(modelRunning)
	s.depth(int64(len(waiting)), int64(len(scheduled)), int64(len(running)), int64(len(dead)))
	if _, jobs := s.broker.room.used(); jobs != s.broker.room.maxJobs-s.room() {
		s.fatal("room counts %d jobs", jobs)
	}
	if paused, err := s.d.Paused(s.Context(), "q"); err != nil || paused != s.model.paused {
		s.fatal("paused %v, %v", paused, err)
	}
	slices.SortFunc(waiting, byLine)
	slices.SortFunc(scheduled, byTime)
	slices.SortFunc(dead, byTime)
	size := 1 + s.r.IntN(20)
	for state, want := range map[driver.State][]*modelJob{driver.Waiting: waiting, driver.Scheduled: scheduled, driver.DeadLettered: dead} {
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
			s.end(d, driver.Done)
		}
	}
	_, err := s.d.Discard(s.Context(), "q", driver.Selection{All: true})
	s.ok(err)
	s.depth(0, 0, 0, 0)
	time.Sleep(s.model.window)
	s.depth(0, 0, 0, 0)
	if bytes, jobs := s.broker.room.used(); bytes != 0 || jobs != 0 {
		s.fatal("an empty broker counts %d bytes and %d jobs", bytes, jobs)
	}
	q := s.broker.queue("q")
	if len(q.groups.chains.m) != 0 || len(q.deadID.chains.m) != 0 || len(q.marks.byKey.m) != 0 {
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
