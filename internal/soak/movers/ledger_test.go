package movers

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// task is the args of the jobs.
type task struct{ N int }

// Kind implements batch.Args.
func (task) Kind() string { return "task" }

// ledger is what the workers of both sides share: what they have to do, and what they did.
type ledger struct {
	fails []int                // how often each job fails before it succeeds
	since map[string]time.Time // when jobs were enqueued that were elsewhere before
	store *idempotency.Memory  // the keys of the middleware

	mu      sync.Mutex     // guards following
	runs    map[string]int // that ended well
	before  map[string]int // those of them that were runs of workers of the source
	effects map[string]int
	groups  map[string][]int
	wrong   []string // what is not as it was on the source
}

// newLedger makes one for n jobs, of which a third fails, some of them twice.
func newLedger(n int, random *rand.Rand) *ledger {
	l := &ledger{fails: make([]int, n), since: make(map[string]time.Time), store: idempotency.NewMemory(0),
		runs: make(map[string]int), before: make(map[string]int), effects: make(map[string]int), groups: make(map[string][]int)}
	for i := range l.fails {
		if random.IntN(3) == 0 {
			l.fails[i] = 1 + random.IntN(2)
		}
	}
	return l
}

// failure is the error of a job's attempt.
func failure(id string, attempt int) error { return fmt.Errorf("attempt %d of %s fails", attempt, id) }

// counted is the middleware around that of package idempotency: it counts the runs that ended well, also of those that did nothing,
// since another had the effect.
func (l *ledger) counted(before bool) batch.Middleware {
	return func(next batch.Handler) batch.Handler {
		return func(ctx context.Context, j *batch.JobInfo) error {
			err := next(ctx, j)
			if err == nil {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.runs[j.ID]++
				l.before[j.ID] += count(before)
			}
			return err
		}
	}
}

// on is the handler of a queue's worker. It sees whether a job came with its history.
func (l *ledger) on(queue string) func(context.Context, *batch.Job[task]) error {
	return func(_ context.Context, j *batch.Job[task]) error {
		if fails := l.fails[j.Args.N]; j.Attempt <= fails {
			return failure(j.ID, j.Attempt)
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		l.check(j)
		l.effects[j.ID]++
		if j.Group != "" {
			l.groups[queue+" "+j.Group] = append(l.groups[queue+" "+j.Group], j.Args.N)
		}
		return nil
	}
}

// check compares what a job says of itself with what is known of it.
func (l *ledger) check(j *batch.Job[task]) {
	fails, text := l.fails[j.Args.N], ""
	if fails > 0 {
		text = failure(j.ID, fails).Error()
	}
	since, imported := l.since[j.ID]
	if j.Attempt != fails+1 || j.LastError != text || j.Headers["n"] != fmt.Sprint(j.Args.N) || imported && !j.EnqueuedAt.Equal(since) {
		l.wrong = append(l.wrong, fmt.Sprintf("%s, enqueued at %v, succeeded as attempt %d after %q, with %v: want attempt %d after %q, and %v",
			j.ID, j.EnqueuedAt, j.Attempt, j.LastError, j.Headers, fails+1, text, since))
	}
}

// tellWrong reports the first jobs that did not come as they were.
func (l *ledger) tellWrong(t *testing.T) {
	t.Helper()
	for _, wrong := range l.wrong[:min(5, len(l.wrong))] {
		t.Errorf("one of %d that are not as they were: %s", len(l.wrong), wrong)
	}
}

// missing is how many of some jobs have not run.
func (l *ledger) missing(ids []string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if l.runs[id] == 0 {
			n++
		}
	}
	return n
}

// waitFor waits until these jobs have run, and for those that come twice.
func (l *ledger) waitFor(t *testing.T, ids []string) {
	deadline := time.Now().Add(2 * time.Minute)
	for l.missing(ids) > 0 && time.Now().Before(deadline) {
		wait(t, 100*time.Millisecond)
	}
	wait(t, 3*time.Second)
}

// workOn starts a worker of the target, or of the source before the move is over, and returns what stops it.
func (l *ledger) workOn(t *testing.T, url, queue string, before bool) (stop func()) {
	t.Helper()
	d, err := batch.Open[batch.Driver](t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	concurrency := 20
	if before {
		concurrency = 2 // it leaves most to the movers
	}
	w, err := batch.TryNewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue, Concurrency: concurrency}},
		Log:    slog.New(slog.DiscardHandler), RetryPolicy: batch.ConstantBackoff(500 * time.Millisecond),
		Middleware: []batch.Middleware{l.counted(before), idempotency.Middleware(l.store)},
	})
	if err != nil {
		t.Fatal(err)
	}
	batch.Handle(w, l.on(queue))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- w.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := d.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}
}

// wait waits for so long, or until the test ends.
func wait(t *testing.T, d time.Duration) {
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}
