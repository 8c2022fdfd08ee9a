package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var precedenceCases = []Case{
	{Name: "precedence", Rule: "A job's own bounds come before those of its kind, and these before the worker's.", run: casePrecedence},
	{Name: "retry-policy", Rule: "The retry policy is asked once for each failure, with their number and the error; a kind's own comes before the worker's.", run: caseRetryPolicy},
	{Name: "middleware", Rule: "Middleware is called around each handler in its order, and what it returns decides.", run: caseMiddleware},
	{Name: "job-fields", Rule: "A handler sees all of its job: ID, kind, queue, times, headers, body, level and group.", run: caseJobFields},
	{Name: "aliases", Rule: "A handler runs jobs of its aliases, by their own names.", run: caseAliases},
	{Name: "snooze-keeps", Rule: "A snooze after failures keeps their number and the text of the last, and ends a row of bounces.", run: caseSnoozeKeeps},
	{Name: "failure-bounds", Rule: "A job dies with its last attempt, not before and not after, also with one attempt.", run: caseFailureBounds},
	{Name: "error-text", Rule: "The text of an error is stored within 2048 bytes of UTF-8, its beginning as it was.", run: caseErrorText},
	{Name: "hooks-once", Rule: "For each delivery the hooks are told of one end, and for each enqueue of one end.", run: caseHooksOnce},
}

func casePrecedence(s *stage) {
	q := s.portable()
	enqueue(s, q, 0, batch.MaxAttempts(q, 2), batch.Timeout(q, 7*time.Minute))
	enqueue(s, q, 1)
	s.put(q.Driver(), kinded("other", otherTask{}.Kind()))
	var mu sync.Mutex
	seen := make(map[string][2]string)
	note := func(info *batch.JobInfo, ctx context.Context) error {
		deadline, _ := ctx.Deadline()
		mu.Lock()
		defer mu.Unlock()
		seen[info.ID] = [2]string{fmt.Sprint(info.MaxAttempts), fmt.Sprint(info.Timeout)}
		if left := time.Until(deadline); left > info.Timeout || left < info.Timeout-time.Minute {
			s.problem("the context of %s ends in %s, and its timeout is %s", info.ID, left, info.Timeout)
		}
		return errors.New("failed")
	}
	w := s.worker(s.open(), func(c *batch.WorkerConfig) { c.MaxAttempts, c.Timeout = 4, 9*time.Minute })
	s.check(batch.TryHandle(w, func(ctx context.Context, job *batch.Job[task]) error { return note(job.JobInfo, ctx) },
		batch.HandleMaxAttempts(3), batch.HandleTimeout(8*time.Minute)), "add the handler")
	s.check(batch.TryHandle(w, func(ctx context.Context, job *batch.Job[otherTask]) error { return note(job.JobInfo, ctx) }), "add the handler of the other kind")
	s.start(w)
	s.waitCount(3, Died)
	mu.Lock()
	defer mu.Unlock()
	for id, want := range map[string][2]string{name(0): {"2", "7m0s"}, name(1): {"3", "8m0s"}, "other": {"4", "9m0s"}} {
		equal(s, seen[id], want, "MaxAttempts and Timeout of %s", id)
	}
	for _, dead := range s.waitDeadLetters(q.Driver(), 3) {
		equal(s, fmt.Sprint(dead.Failures), seen[dead.ID][0], "Failures of %s", dead.ID)
	}
}

// kinded makes a message of a kind.
func kinded(id, kind string) *driver.Message {
	m := message(id)
	m.Kind = kind
	return m
}

// asked is a retry policy that notes what it is asked.
type asked struct {
	name string
	mu   *sync.Mutex
	all  *[]string
}

// Backoff notes the question.
func (a asked) Backoff(failures int, err error) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	*a.all = append(*a.all, fmt.Sprintf("%s %d %v", a.name, failures, err))
	return time.Duration(failures) * time.Millisecond
}

func caseRetryPolicy(s *stage) {
	q := s.portable()
	var mu sync.Mutex
	var all []string
	w := s.worker(s.open(), func(c *batch.WorkerConfig) { c.RetryPolicy, c.MaxAttempts = asked{"worker", &mu, &all}, 4 })
	s.check(batch.TryHandle(w, func(_ context.Context, job *batch.Job[task]) error {
		if job.Attempt < 4 {
			return fmt.Errorf("failure %d", job.Attempt)
		}
		return nil
	}), "add the handler")
	s.check(batch.TryHandle(w, func(_ context.Context, job *batch.Job[otherTask]) error {
		if job.Attempt < 3 {
			return fmt.Errorf("failure %d", job.Attempt)
		}
		return nil
	}, batch.HandleRetry(asked{"kind", &mu, &all})), "add the handler of the other kind")
	s.start(w)
	enqueue(s, q, 0)
	s.waitCount(1, Done, Died)
	s.put(q.Driver(), kinded("other", otherTask{}.Kind()))
	s.waitCount(2, Done, Died)
	mu.Lock()
	defer mu.Unlock()
	want := []string{"worker 1 failure 1", "worker 2 failure 2", "worker 3 failure 3", "kind 1 failure 1", "kind 2 failure 2"}
	if !slices.Equal(all, want) {
		s.failf("the retry policies were asked %q, want %q", all, want)
	}
}

func caseMiddleware(s *stage) {
	q := s.portable()
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	around := func(what string) batch.Middleware {
		return func(next batch.Handler) batch.Handler {
			return func(ctx context.Context, job *batch.JobInfo) error {
				note(what + " before")
				err := next(ctx, job)
				note(what + " after")
				return err
			}
		}
	}
	skip := func(next batch.Handler) batch.Handler {
		return func(ctx context.Context, job *batch.JobInfo) error {
			switch {
			case job.ID == name(1):
				return batch.Permanent(errors.New("skipped"))
			case job.ID == name(2):
				return nil
			}
			return next(ctx, job)
		}
	}
	s.work(s.open(), func(context.Context, *batch.Job[task]) error { note("handler"); return nil }, func(c *batch.WorkerConfig) {
		c.Middleware = []batch.Middleware{around("first"), skip, around("second")}
	})
	enqueue(s, q, 0)
	s.waitCount(1, Done)
	enqueue(s, q, 1)
	s.waitCount(1, Died)
	enqueue(s, q, 2)
	s.waitCount(2, Done)
	mu.Lock()
	defer mu.Unlock()
	want := []string{"first before", "second before", "handler", "second after", "first after", "first before", "first after", "first before", "first after"}
	if !slices.Equal(order, want) {
		s.failf("the order of the calls was %q, want %q", order, want)
	}
}

func caseJobFields(s *stage) {
	d := s.declared()
	m := full("full")
	m.Kind, m.Body, m.ContentType, m.ExpiresAt = kind, []byte(`{"n":5,"data":"\u00e9"}`), "application/json", m.EnqueuedAt.Add(time.Hour)
	s.withCapabilities(d, m)
	s.put(d, m)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		equalOr := func(got, want any, what string) {
			if got != want {
				s.problem("%s of the job is %v, want %v", what, got, want)
			}
		}
		equalOr(job.ID, m.ID, "ID")
		equalOr(job.Kind, m.Kind, "Kind")
		equalOr(job.Queue, s.queue, "Queue")
		equalOr(job.Attempt, 1, "Attempt")
		equalOr(job.MaxAttempts, m.MaxAttempts, "MaxAttempts")
		equalOr(job.Timeout, m.Timeout, "Timeout")
		equalOr(job.Deliveries, 1, "Deliveries")
		equalOr(job.EnqueuedAt.Equal(m.EnqueuedAt), true, "whether EnqueuedAt")
		equalOr(job.ExpiresAt.Equal(m.ExpiresAt), true, "whether ExpiresAt")
		equalOr(job.Priority, m.Level, "Priority")
		equalOr(job.Group, m.Group, "Group")
		equalOr(job.ContentType, m.ContentType, "ContentType")
		equalOr(string(job.Body), string(m.Body), "Body")
		equalOr(len(job.Headers), len(m.Headers), "the number of headers")
		equalOr(job.Headers["bytes"], m.Headers["bytes"], "a header")
		equalOr(job.Args, task{N: 5, Data: "\u00e9"}, "Args")
		return nil
	})
	s.waitCount(1, Done, Died)
	equal(s, s.history.Count(Done), 1, "jobs done")
}

func caseAliases(s *stage) {
	d := s.declared()
	w := s.worker(s.open())
	kinds := make(chan string, 3)
	s.check(batch.TryHandle(w, func(_ context.Context, job *batch.Job[task]) error { kinds <- job.Kind; return nil },
		batch.HandleAliases("conformance.old", "conformance.older")), "add the handler")
	s.start(w)
	seen := make(map[string]bool)
	for i, k := range []string{"conformance.old", kind, "conformance.older"} {
		s.put(d, kinded(name(i), k))
	}
	s.waitCount(3, Done, Died)
	equal(s, s.history.Count(Done), 3, "jobs done")
	for range 3 {
		seen[<-kinds] = true
	}
	equal(s, len(seen), 3, "kinds that the handler saw")
}

func caseSnoozeKeeps(s *stage) {
	q := s.portable()
	enqueue(s, q, 0)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		switch job.Deliveries {
		case 1, 2:
			return fmt.Errorf("failure %d", job.Attempt)
		case 3, 4:
			return batch.Snooze(time.Millisecond)
		}
		if job.Attempt != 3 || job.LastError != "failure 2" {
			s.problem("after two failures and two snoozes Attempt is %d and LastError %q", job.Attempt, job.LastError)
		}
		return nil
	}, func(c *batch.WorkerConfig) { c.MaxAttempts = 3 })
	s.waitCount(1, Done, Died)
	equal(s, s.history.Count(Done), 1, "jobs done")
}

func caseFailureBounds(s *stage) {
	q := s.portable()
	const most = 4
	for n := 1; n <= most; n++ {
		enqueue(s, q, n, batch.MaxAttempts(q, n))
	}
	s.work(s.open(), func(context.Context, *batch.Job[task]) error { return errors.New("failed") }, retryAfter(time.Millisecond))
	s.waitCount(most, Died)
	starts := make(map[string]int)
	for _, e := range s.history.Events() {
		if e.Op == Started {
			starts[e.ID]++
		}
	}
	for n := 1; n <= most; n++ {
		equal(s, starts[name(n)], n, "starts of a job with %d attempts", n)
	}
	for _, dead := range s.waitDeadLetters(q.Driver(), most) {
		equal(s, name(dead.Failures), dead.ID, "the job that has as many failures as attempts")
	}
}

func caseErrorText(s *stage) {
	q := s.portable()
	long := "begin \u00e9\xff "
	for len(long) < 5000 {
		long += "\u4e16"
	}
	enqueue(s, q, 0)
	s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Attempt == 2 {
			return batch.Permanent(errors.New(""))
		}
		return errors.New(long)
	})
	s.waitCount(1, Failed)
	s.waitCount(1, Died)
	dead := s.deadLetter(q)
	equal(s, dead.LastError, "", "LastError of a job whose last error has no text")
	enqueue(s, q, 1, batch.MaxAttempts(q, 1))
	s.waitCount(2, Died)
	for _, dead := range s.waitDeadLetters(q.Driver(), 2) {
		if dead.ID != name(1) {
			continue
		}
		if n := len(dead.LastError); n > 2048 || n < 2000 || dead.LastError[:8] != "begin \u00e9" || !utf8.ValidString(dead.LastError) {
			s.failf("of an error of %d bytes %d are stored, which begin with %q", len(long), n, dead.LastError[:min(n, 20)])
		}
	}
}

// tally counts what hooks are told.
type tally struct {
	mu         sync.Mutex
	ends, puts map[string]int
}

// OnJobEnd counts an end.
func (t *tally) OnJobEnd(_ context.Context, e batch.JobEnd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ends[e.Job.ID]++
}

// OnEnqueueEnd counts an enqueue.
func (t *tally) OnEnqueueEnd(_ context.Context, e batch.EnqueueEnd) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.puts[e.ID]++
}

func caseHooksOnce(s *stage) {
	t := &tally{ends: make(map[string]int), puts: make(map[string]int)}
	q := queueOf[driver.Driver](s, s.open(), batch.WithHooks(t))
	enqueue(s, q, 0)
	_, err := q.EnqueueMany(s.ctx, requests(q, 4)[1:])
	s.check(err, "enqueue three more")
	w := s.work(s.open(), func(_ context.Context, job *batch.Job[task]) error {
		if job.Attempt < job.Args.N {
			return errors.New("failed")
		}
		return nil
	}, func(c *batch.WorkerConfig) { c.Hooks = append(c.Hooks, t) })
	s.waitCount(4, Done)
	s.check(w.Stop(s.ctx), "stop the worker, whose hooks are told of an end one after the other")
	t.mu.Lock()
	defer t.mu.Unlock()
	for n := range 4 {
		equal(s, t.puts[name(n)], 1, "ends of the enqueue of %s that hooks were told", name(n))
		equal(s, t.ends[name(n)], max(n, 1), "ends of %s that hooks were told", name(n))
	}
}
