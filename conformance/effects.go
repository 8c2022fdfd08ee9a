package conformance

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

var effectsCases = []Case{
	{Name: "idempotency-key", Rule: "Jobs with one key, by a header, have one effect, and those with another have theirs.", run: caseIdempotencyKey},
	{Name: "idempotency-ends", Rule: "A handler that panics or ends its goroutine gives its claim up at once, and the retry runs.", run: caseIdempotencyEnds},
	{Name: "idempotency-renew", Rule: "A claim is held for as long as its handler runs, beyond its TTL.", run: caseIdempotencyRenew},
	{Name: "idempotency-dead", Rule: "The claim of a worker that died ends with its TTL, and the job runs then.", run: caseIdempotencyDead},
	{Name: "idempotency-lost", Rule: "A handler whose claim is lost is cancelled, and its success is not the job's.", run: caseIdempotencyLost},
	{Name: "idempotency-claim", Rule: "A handler sees its claim, of the job's key and with a token that grows.", run: caseIdempotencyClaim},
	{Name: "idempotency-store", Rule: "When the store fails the handler does not run, the job is retried, and its effect happens once.", run: caseIdempotencyStore},
	{Name: "idempotency-spans", Rule: "A claim is for the TTL, and a key that is done for the retention.", run: caseIdempotencySpans},
	{Name: "idempotency-stale", Rule: "A claim that has expired neither extends, completes nor gives up what another holds.", run: caseIdempotencyStale},
	{Name: "idempotency-retention", Rule: "A key that is done is remembered for the retention, and is fresh after it.", run: caseIdempotencyRetention},
}

// idempotentWith is idempotent with options.
func idempotentWith(store idempotency.Store, options ...idempotency.Option) func(*batch.WorkerConfig) {
	return func(c *batch.WorkerConfig) {
		options = append([]idempotency.Option{idempotency.Wait(30 * time.Millisecond)}, options...)
		c.Middleware = append(c.Middleware, idempotency.Middleware(store, options...))
	}
}

// many lets a job fail often: a store that takes longer than a short TTL to answer has it fail.
func many(c *batch.WorkerConfig) { c.MaxAttempts = 1000 }

func caseIdempotencyKey(s *stage) {
	q := s.portable()
	var mu sync.Mutex
	effects := make(map[string]int)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		mu.Lock()
		defer mu.Unlock()
		effects[job.Headers["Key"]]++
		return nil
	}, idempotentWith(s.store(), idempotency.ByKey(func(job *batch.JobInfo) (string, error) {
		if job.Headers["Key"] == "none" {
			return "", errors.New("no key")
		}
		return job.Headers["Key"], nil
	})))
	keys := []string{"a", "b", "a", "A", "a ", "b", "a"}
	for n, key := range keys {
		enqueue(s, q, n, batch.Header(q, "Key", key))
	}
	s.waitCount(len(keys), Done)
	for n, key := range []string{"none", ""} {
		enqueue(s, q, 100+n, batch.Header(q, "Key", key), batch.MaxAttempts(q, 1))
	}
	s.waitCount(2, Died)
	mu.Lock()
	defer mu.Unlock()
	equal(s, len(effects), 4, "keys with an effect")
	for key, n := range effects {
		equal(s, n, 1, "effects of the key %q", key)
	}
}

func caseIdempotencyEnds(s *stage) {
	q := s.portable()
	var effects atomic.Int32
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		switch job.Deliveries {
		case 1:
			panic("on purpose")
		case 2:
			runtime.Goexit()
		case 3:
			return batch.Snooze(0)
		case 4:
			return errors.New("failed")
		}
		effects.Add(1)
		return nil
	}, idempotentWith(s.store(), idempotency.TTL(time.Hour)), func(c *batch.WorkerConfig) { c.MaxAttempts = 4 })
	enqueue(s, q, 0)
	s.waitCount(1, Done, Died)
	equal(s, effects.Load(), 1, "effects")
	equal(s, s.history.Count(Failed), 3, "failures")
	equal(s, s.history.Count(Returned), 1, "times that it came back without a failure: the claims were given up")
}

func caseIdempotencyRenew(s *stage) {
	const ttl = 500 * time.Millisecond
	q := s.portable()
	store := s.store()
	var effects atomic.Int32
	for range 2 {
		s.work(s.open(), func(ctx context.Context, _ *batch.Job[task]) error {
			select {
			case <-time.After(4 * ttl):
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			effects.Add(1)
			return nil
		}, idempotentWith(store, idempotency.TTL(ttl), idempotency.Wait(100*time.Millisecond)))
	}
	enqueue(s, q, 0)
	enqueue(s, q, 0)
	s.waitBy(4*ttl, "both jobs", func() bool { return s.history.Count(Done) >= 2 })
	equal(s, effects.Load(), 1, "effects of a job that was enqueued twice and runs for four TTLs")
}

func caseIdempotencyDead(s *stage) {
	const ttl = 400 * time.Millisecond
	q := s.portable()
	store := s.store()
	_, state, err := store.Begin(s.ctx, name(0), ttl) // by a worker that dies
	s.check(err, "claim")
	equal(s, state, idempotency.Fresh, "the state of the key")
	claimed := s.history.Now()
	var effects atomic.Int32
	s.work(s.open(), func(context.Context, *batch.Job[task]) error { effects.Add(1); return nil }, idempotentWith(store), func(c *batch.WorkerConfig) { c.MaxAttempts = 1 })
	enqueue(s, q, 0)
	s.waitBy(ttl, "the job", func() bool { return s.history.Count(Done, Died) > 0 })
	equal(s, effects.Load(), 1, "effects")
	for _, e := range s.history.Events() {
		if e.Op == Done {
			s.check(Within("the job whose claim another held", claimed, e.At, ttl-50*time.Millisecond, e.At), "measure")
		}
	}
	s.check(AttemptCounts(s.history.Events()), "judge the history")
}

// losing is a store that loses claims when it is told to.
type losing struct {
	idempotency.Store
	lose atomic.Bool
	fail atomic.Int32 // so many calls fail
}

var errStore = errors.New("the store fails")

// Begin fails, or claims the key.
func (l *losing) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	if l.fail.Add(-1) >= 0 {
		return idempotency.Claim{}, 0, errStore
	}
	return l.Store.Begin(ctx, key, ttl)
}

// Extend says that the claim is lost.
func (l *losing) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	if l.lose.Load() {
		return idempotency.ErrLost
	}
	return l.Store.Extend(ctx, claim, ttl)
}

// Complete says that the claim is lost, or fails.
func (l *losing) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	if l.lose.Load() {
		return idempotency.ErrLost
	}
	if l.fail.Add(-1) >= 0 {
		return errStore
	}
	return l.Store.Complete(ctx, claim, retention)
}

func caseIdempotencyLost(s *stage) {
	q := s.portable()
	store := &losing{Store: s.store()}
	store.lose.Store(true)
	gate := s.gate()
	var ran atomic.Bool
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		if job.Args.N == 1 {
			return nil // at once: it does not notice
		}
		if !ran.CompareAndSwap(false, true) {
			return gate.wait(ctx)
		}
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), idempotency.ErrLost) {
			s.problem("the cause of the end of a context whose claim was lost is %v", context.Cause(ctx))
		}
		store.lose.Store(false)
		return errors.New("interrupted")
	}, idempotentWith(store, idempotency.TTL(300*time.Millisecond)), many)
	enqueue(s, q, 0)
	s.waitCount(2, Started)
	gate.open()
	s.waitCount(1, Done)
	// And one that does not notice: its success is not taken for the key's.
	store.lose.Store(true)
	enqueue(s, q, 1)
	s.wait("a job whose claim was lost as it ended", func() bool { return s.history.Count(Returned) > 0 || s.history.Count(Done) > 1 })
	equal(s, s.history.Count(Done), 1, "jobs done, of which one had lost its claim")
	store.lose.Store(false)
}

func caseIdempotencyClaim(s *stage) {
	q := s.portable()
	var mu sync.Mutex
	tokens := make(map[string][]uint64)
	s.work(s.open(), func(ctx context.Context, job *batch.Job[task]) error {
		claim, ok := idempotency.ClaimOf(ctx)
		if !ok || claim.Key != job.ID || claim.Token != idempotency.Token(ctx) || claim.Token == 0 {
			s.problem("the claim of %s is %+v, and its token %d", job.ID, claim, idempotency.Token(ctx))
		}
		mu.Lock()
		tokens[job.ID] = append(tokens[job.ID], claim.Token)
		mu.Unlock()
		if job.Attempt < 3 {
			return errors.New("failed")
		}
		return nil
	}, idempotentWith(s.store()))
	for n := range 3 {
		enqueue(s, q, n)
	}
	s.waitCount(3, Done)
	mu.Lock()
	defer mu.Unlock()
	for id, all := range tokens {
		if len(all) != 3 || all[0] >= all[1] || all[1] >= all[2] {
			s.failf("the tokens of the three claims on %s are %d", id, all)
		}
	}
}

// spans is a store that notes for how long it is asked to keep what.
type spans struct {
	idempotency.Store
	mu  sync.Mutex
	all []time.Duration
}

// Begin notes the TTL.
func (n *spans) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	n.note(ttl)
	return n.Store.Begin(ctx, key, ttl)
}

// Complete notes the retention.
func (n *spans) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	n.note(retention)
	return n.Store.Complete(ctx, claim, retention)
}

// note adds a span.
func (n *spans) note(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, d)
}

func caseIdempotencySpans(s *stage) {
	const ttl, retention = 7 * time.Minute, 9 * time.Hour
	q := s.portable()
	store := &spans{Store: s.store()}
	s.work(s.open(), nothing, idempotentWith(store, idempotency.TTL(ttl), idempotency.Retention(retention)))
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	store.mu.Lock()
	defer store.mu.Unlock()
	if !slices.Equal(store.all, []time.Duration{ttl, retention}) {
		s.failf("the store was asked for %s, want a claim of %s and a mark of %s", store.all, ttl, retention)
	}
}

func caseIdempotencyStale(s *stage) {
	const ttl = 20 * time.Millisecond
	store := s.store()
	stale, _, err := store.Begin(s.ctx, "key", ttl)
	s.check(err, "claim")
	s.pass(2 * ttl)
	held, state, err := store.Begin(s.ctx, "key", time.Hour)
	s.check(err, "claim what has expired")
	equal(s, state, idempotency.Fresh, "the state of a key whose claim has expired")
	s.check(store.Abandon(s.ctx, stale), "give up a claim that has expired")
	s.is(store.Extend(s.ctx, stale, time.Hour), idempotency.ErrLost, "extend a claim that has expired")
	s.is(store.Complete(s.ctx, stale, time.Hour), idempotency.ErrLost, "complete a claim that has expired")
	_, state, err = store.Begin(s.ctx, "key", ttl)
	s.check(err, "claim what another holds")
	equal(s, state, idempotency.InProgress, "the state of a key that is held")
	s.check(store.Complete(s.ctx, held, time.Hour), "complete")
	s.check(store.Abandon(s.ctx, held), "give up what is done")
	_, state, err = store.Begin(s.ctx, "key", ttl)
	s.check(err, "claim what is done")
	equal(s, state, idempotency.Done, "the state of a key that is done")
}

func caseIdempotencyStore(s *stage) {
	q := s.portable()
	store := &losing{Store: s.store()}
	store.fail.Store(2)
	var effects atomic.Int32
	s.work(s.open(), func(context.Context, *batch.Job[task]) error {
		if effects.Add(1) == 1 {
			store.fail.Store(2) // of what marks the key as done
		}
		return nil
	}, idempotentWith(store))
	enqueue(s, q, 0)
	s.waitCount(1, Done, Died)
	equal(s, s.history.Count(Failed), 2, "failures, of the store")
	equal(s, effects.Load(), 1, "effects")
	enqueue(s, q, 0)
	s.waitCount(2, Done, Died)
	equal(s, effects.Load(), 1, "effects of a job that was enqueued again")
	equal(s, s.history.Count(Died), 0, "deaths")
}

func caseIdempotencyRetention(s *stage) {
	q := s.portable()
	var effects atomic.Int32
	s.work(s.open(), func(context.Context, *batch.Job[task]) error { effects.Add(1); return nil },
		idempotentWith(s.store(), idempotency.Retention(2*time.Second), idempotency.TTL(200*time.Millisecond)), many)
	begin := s.history.Now()
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	s.pass(400 * time.Millisecond) // longer than the TTL
	enqueue(s, q, 0)
	s.waitCount(2, Done)
	if s.history.Now()-begin < 2*time.Second {
		equal(s, effects.Load(), 1, "effects within the retention")
	}
	s.pass(2 * time.Second)
	enqueue(s, q, 0)
	s.waitCount(3, Done)
	if n := effects.Load(); n < 2 {
		s.failf("%d effects after the retention", n)
	}
}
