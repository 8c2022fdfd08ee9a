package redis

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

const (
	// sweepKeys is how many queues one script looks at, which keeps the server for 0.3 ms.
	sweepKeys = 100
	// groupsEvery: every so many looks at a queue with jobs its groups are looked after too.
	// Only other programs cause what that heals.
	groupsEvery = 16
	// idleEvery: every so many looks at an idle queue it is looked after as if it had jobs,
	// which is every three minutes with most leases. What is not seen otherwise is what other
	// programs left in it, such as the hold on a job that they removed, and consumers that
	// vanished. It is a multiple of groupsEvery.
	idleEvery = 48
	// lookPatience is how long what is asked of many queues may take. One node of a cluster that
	// does not answer keeps the others waiting no longer.
	lookPatience = 2 * time.Second
	// mostRecovering is how many queues are looked after at once.
	mostRecovering = 8
)

// sweeper looks after the queues that a driver has consumers of: jobs whose leases have
// lapsed, a queue that was deleted, and tokens that were lost. One look at many queues at once
// finds those to which something is to be done, so that a thousand idle queues cost little more
// than one.
//
// A queue in which nothing is held is looked at more seldom. What is handed out after such a look
// is seen by the next, which comes half a lease later at most: before the lease can lapse. Only
// that of another process's consumer may, if its lease is shorter.
type sweeper struct {
	conn *connection
	// look is how long a Receive that waits may wait without a look of its own.
	look time.Duration
	// recovering has a place for each queue that is looked after just now.
	recovering chan struct{}
	changed    chan struct{} // holds one if there is something new

	mu     sync.Mutex // guards following
	queues map[string]*watched
	at     time.Time     // when the next look is planned
	stop   chan struct{} // closed to end the goroutine that looks; nil while none does
	ended  chan struct{} // closed when that has ended
}

// watched is a queue that a sweeper looks at.
type watched struct {
	names  *names
	wakers []*waker
	next   time.Time     // of its looks; no more of them while busy
	every  time.Duration // how long before next that was planned
	busy   bool
	round  int
	cursor string // of the groups that are looked after next
}

// newSweeper makes a sweeper.
func newSweeper(conn *connection, look time.Duration) *sweeper {
	return &sweeper{
		conn: conn, look: look, queues: make(map[string]*watched),
		recovering: make(chan struct{}, mostRecovering), changed: make(chan struct{}, 1),
	}
}

// add has a consumer's queue looked after.
func (s *sweeper) add(w *waker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[w.queue]
	if q == nil {
		q = &watched{names: w.names, cursor: "0", round: rand.N(idleEvery)}
		if len(s.queues) == 0 {
			// The first is looked after at once, also without jobs: a user who lacks a right to
			// that is to hear of it.
			q.round = idleEvery - 1
		}
		s.queues[w.queue] = q
	}
	q.wakers = append(q.wakers, w)
	s.plan(q, jitter(recoverPeriod(w.lease)))
	if s.stop == nil {
		s.stop, s.ended = make(chan struct{}), make(chan struct{})
		go s.run(s.stop, s.ended)
	}
}

// remove ends that. With the last consumer it waits until nothing looks any more, or ctx ends.
func (s *sweeper) remove(ctx context.Context, w *waker) error {
	select {
	case <-s.take(w):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// nothingToEnd is closed.
var nothingToEnd = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// take is remove. What it returns is closed when all has ended.
func (s *sweeper) take(w *waker) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.queues[w.queue]
	if q == nil {
		return nothingToEnd
	}
	q.wakers = slices.DeleteFunc(slices.Clone(q.wakers), func(other *waker) bool { return other == w })
	if len(q.wakers) == 0 {
		delete(s.queues, w.queue)
	}
	if len(s.queues) > 0 || s.stop == nil {
		return nothingToEnd
	}
	close(s.stop)
	s.stop = nil
	return s.ended
}

// plan plans the next look at a queue, in some time or earlier. mu is held.
func (s *sweeper) plan(q *watched, in time.Duration) {
	if at := time.Now().Add(in); q.next.IsZero() || at.Before(q.next) {
		q.next, q.every = at, in
	}
	if q.next.Before(s.at) {
		s.tell()
	}
}

// tell has run look at what is new.
func (s *sweeper) tell() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// run looks until stop is closed, and then closes ended.
func (s *sweeper) run(stop <-chan struct{}, ended chan<- struct{}) {
	defer close(ended)
	defer s.tell() // what it took on its way out may have been meant for the next run
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		due, in := s.due()
		if len(due) > 0 {
			s.sweep(due)
			in = 0
		}
		timer.Reset(in)
		select {
		case <-stop:
			return
		case <-timer.C:
		case <-s.changed:
		}
	}
}

// due are the queues that are to be looked at now, with those that would be soon, or how long
// there are none.
func (s *sweeper) due() (due []*watched, in time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	s.at = now.Add(idleMax)
	for _, q := range s.queues {
		if q.busy {
			continue
		}
		if q.next.Before(s.at) {
			s.at = q.next
		}
		if q.next.Before(now.Add(q.every / 4)) {
			due = append(due, q)
		}
	}
	if in = s.at.Sub(now); in > 0 {
		return nil, in
	}
	for _, q := range due {
		q.busy = true
		q.next = time.Time{}
	}
	return due, 0
}

// lease is the shortest of the queue's consumers here.
func (q *watched) lease() time.Duration {
	shortest := maxLease
	for _, w := range q.wakers {
		shortest = min(shortest, w.lease)
	}
	return shortest
}

// sweep looks at queues, and has what is found looked after.
func (s *sweeper) sweep(queues []*watched) {
	found, errs := s.ask(queues)
	spread := 0.8 + 0.4*rand.Float64() // alike for all, so that they stay together
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, q := range queues {
		lease := q.lease()
		busy := time.Duration(float64(recoverPeriod(lease)) * spread)
		idle := time.Duration(float64(idlePeriod(lease)) * spread)
		q.round++
		wakers, again := q.wakers, busy
		switch {
		case errs[i] != nil:
			for _, w := range wakers {
				w.tell(errs[i])
			}
		case found[i] == foundMissing:
			for _, w := range wakers {
				w.wakeAll(nil) // each finds out by itself
			}
		case isIdle(found[i]) && q.round%idleEvery != 0:
			nudge(wakers, found[i], s.look)
			again = idle
		default:
			nudge(wakers, found[i], s.look)
			go s.lookAfter(q, wakers, found[i], busy, idle)
			continue
		}
		q.busy = false
		s.plan(q, again)
	}
}

// lookAfter does to a queue what is to be done where there is something, and plans the next look.
func (s *sweeper) lookAfter(q *watched, wakers []*waker, what byte, busy, idle time.Duration) {
	s.mu.Lock()
	groups := ""
	if q.round%groupsEvery == 0 {
		groups = q.cursor
	}
	s.mu.Unlock()
	again, missed := busy, 0
	if isIdle(what) {
		again = idle
	}
	if what == foundJobs || groups != "" {
		s.recovering <- struct{}{}
		next, first := recoverByOne(wakers, busy, groups)
		<-s.recovering
		if groups != "" {
			groups = next
		}
		switch {
		case first:
		case isIdle(what):
			missed = 1
		case what == foundJobs:
			again *= 2
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if groups != "" {
		q.cursor = groups
	}
	q.round -= missed // it is made up for by the next look
	q.busy = false
	s.plan(q, again)
}

// recoverByOne has the first consumer that is not closed look for lapsed leases.
func recoverByOne(wakers []*waker, period time.Duration, groups string) (cursor string, first bool) {
	for _, w := range wakers {
		if w.work.Enter() {
			defer w.work.Exit()
			return w.recoverLapsed(period, groups)
		}
	}
	return groups, false
}

// ask is what the server has of queues: for each what was found, or an error.
func (s *sweeper) ask(queues []*watched) (found []byte, errs []error) {
	step := sweepKeys
	if _, cluster := s.conn.client.(*goredis.ClusterClient); cluster {
		step = 1
	}
	var commands [][]any
	for chunk := range slices.Chunk(queues, step) {
		args := append(make([]any, 0, 3+len(chunk)), "evalsha", sweepScript.sha, len(chunk))
		for _, q := range chunk {
			args = append(args, q.names.shared[metaIndex])
		}
		commands = append(commands, args)
	}
	found, errs = make([]byte, len(queues)), make([]error, len(queues))
	replies, failed := s.conn.each(lookPatience, commands)
	for i, args := range commands {
		raw, one := replies[i], failed[i]
		if one == nil && errorOf(raw) != nil {
			// It is not loaded, or another server has the queue by now.
			raw, one = s.conn.eval(context.Background(), sweepScript, args)
		}
		r := reader{buf: raw}
		var digits []byte
		if one == nil {
			digits = r.bytes()
			one = r.err
		}
		at := i * step
		if one == nil && copy(found[at:], digits) != min(step, len(queues)-at) {
			one = errReply
		}
		for k := at; one != nil && k < min(at+step, len(queues)); k++ {
			errs[k] = one
		}
	}
	return found, errs
}
