package batch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// While the broker cannot be reached and a job is certainly not stored, enqueue
// tries again; a job that may be stored is never sent twice.
func TestEnqueueTriesAgainOnlyWhatIsNotStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) {
			switch n {
			case 1, 2:
				return sameResult(m, unavailable(driver.FateNotStored)), true
			case 4:
				return sameResult(m, unavailable(driver.FateUnknown)), true
			}
			return nil, false
		}
		q := batch.NewQueue(d, "tasks")
		if _, err := q.Enqueue(t.Context(), task{}); err != nil {
			t.Errorf("Enqueue = %v, want the third try to succeed", err)
		}
		_, err := q.Enqueue(t.Context(), task{})
		var failed *batch.EnqueueError
		if !errors.As(err, &failed) || failed.Fate != batch.FateUnknown || !errors.Is(err, batch.ErrUnavailable) {
			t.Errorf("Enqueue = %v, want an EnqueueError with FateUnknown", err)
		}
		if d.enqueues != 4 {
			t.Errorf("%d requests, want 4", d.enqueues)
		}
		if left := depth(t, q); left.Waiting != 1 {
			t.Errorf("depth = %+v, want one job", left)
		}
	})
}

func sameResult[M any](m []M, err error) []driver.Result {
	results := make([]driver.Result, len(m))
	for i := range results {
		results[i].Err = err
	}
	return results
}

// With an unreachable broker an enqueue ends at its deadline, and the error has the
// broker's words.
func TestEnqueueEndsWithItsDeadline(t *testing.T) {
	down := func(t *testing.T) *scripted {
		d := newScripted()
		d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
			return sameResult(m, unavailable(driver.FateNotStored)), true
		}
		return d
	}
	check := func(t *testing.T, err error) {
		t.Helper()
		var failed *batch.EnqueueError
		if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("Enqueue = %v, want FateNotStored and the broker's words", err)
		}
	}
	t.Run("the caller's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := batch.NewQueue(down(t), "tasks")
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			start := time.Now()
			_, err := q.Enqueue(ctx, task{})
			check(t, err)
			if took := time.Since(start); took != 3*time.Second {
				t.Errorf("it took %s, want 3s", took)
			}
			time.Sleep(time.Minute) // fake time: let the flush see that nobody waits
		})
	})
	t.Run("the queue's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := batch.NewQueue(down(t), "tasks", batch.WithEnqueueTimeout(5*time.Second))
			start := time.Now()
			_, err := q.Enqueue(t.Context(), task{})
			check(t, err)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s, want at most 5s", took)
			}
			synctest.Wait()
		})
	})
	t.Run("the declaration's", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := newScripted()
			d.onDeclare = func(int) error { return unavailable(driver.FateUnknown) }
			q := batch.NewQueue(d, "tasks", batch.WithEnqueueTimeout(5*time.Second))
			start := time.Now()
			_, err := q.Enqueue(t.Context(), task{})
			check(t, err)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it took %s, want at most 5s", took)
			}
		})
	})
}

// A caller that gives up while its job is in a request cannot know whether it is
// stored; one whose job still waits behind that request can.
func TestFateOfAnAbandonedEnqueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		gate := make(chan struct{})
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) { <-gate; return nil, false }
		d.returnsEarly = true
		q := batch.NewQueue(d, "tasks")
		fates := make(chan batch.Fate, 2)
		enqueue := func(ctx context.Context) {
			_, err := q.Enqueue(ctx, task{})
			var failed *batch.EnqueueError
			if !errors.As(err, &failed) || !errors.Is(err, context.Canceled) {
				t.Errorf("Enqueue = %v", err)
				fates <- 99
				return
			}
			fates <- failed.Fate
		}
		underWay, endUnderWay := context.WithCancel(t.Context())
		go enqueue(underWay)
		synctest.Wait()
		queued, endQueued := context.WithCancel(t.Context())
		go enqueue(queued)
		synctest.Wait()
		// The one that waits gives up first: its job must not follow the other.
		endQueued()
		got := map[batch.Fate]int{<-fates: 1}
		endUnderWay()
		got[<-fates]++
		if got[batch.FateUnknown] != 1 || got[batch.FateNotStored] != 1 {
			t.Errorf("fates = %v, want one of each", got)
		}
		close(gate)
		synctest.Wait()
		if left := depth(t, q); left.Waiting != 1 {
			t.Errorf("depth = %+v: the job that was given up in time was stored", left)
		}
	})
}

// Calls that arrive while a request is under way share the next: 100 concurrent
// calls make two requests.
func TestConcurrentEnqueuesShareRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		gate := make(chan struct{})
		var sizes []int
		d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
			sizes = append(sizes, len(m))
			<-gate
			return nil, false
		}
		q := batch.NewQueue(d, "tasks")
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if _, err := q.Enqueue(t.Context(), task{i}); err != nil {
					t.Error(err)
				}
			})
			if i == 0 {
				synctest.Wait()
			}
		}
		synctest.Wait()
		close(gate)
		wg.Wait()
		if len(sizes) != 2 || sizes[0] != 1 || sizes[1] != 99 {
			t.Errorf("requests of %v jobs, want [1 99]", sizes)
		}
	})
}

func TestEnqueueManyReportsEachJob(t *testing.T) {
	d := memory.New()
	q := batch.NewQueue(d, "tasks")
	requests := []batch.Request[*memory.Driver]{
		{Args: task{0}},
		{Args: nil},
		{Args: task{2}, Options: []batch.Option[*memory.Driver]{batch.Delay(q, -time.Second)}},
		{Args: task{3}, Options: []batch.Option[*memory.Driver]{batch.ID(q, "three")}},
	}
	results, err := q.EnqueueMany(t.Context(), requests)
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Unconfirmed != 2 || many.Total != 4 || !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("error = %v, want 2 of 4", err)
	}
	for i, wantErr := range []bool{false, true, true, false} {
		if (results[i].Err != nil) != wantErr {
			t.Errorf("result %d: %v", i, results[i].Err)
		}
	}
	if results[3].ID != "three" || results[0].ID == "" {
		t.Errorf("IDs %q and %q", results[0].ID, results[3].ID)
	}
	if left := depth(t, q); left.Waiting != 2 {
		t.Errorf("depth = %+v, want 2 jobs", left)
	}
	if results, err := q.EnqueueMany(t.Context(), nil); err != nil || len(results) != 0 {
		t.Errorf("nothing: %v, %v", results, err)
	}
}

// hostile is args that can be made to misbehave in every way.
type hostile struct {
	kind string
	C    any
}

func (h hostile) Kind() string { return h.kind }

type nilKind struct{ kind string }

func (n *nilKind) Kind() string { return n.kind }

// Everything out of bounds is a typed error that names the field, and nothing is
// sent.
func TestBadInputIsRefusedBeforeAnythingIsSent(t *testing.T) {
	d := newScripted()
	q := batch.NewQueue(d, "tasks")
	type options = []batch.Option[*scripted]
	long := strings.Repeat("x", 200)
	many := make(map[string]string)
	for i := range 10_000 {
		many[fmt.Sprint("h", i)] = ""
	}
	tests := []struct {
		name    string
		args    batch.Args
		options options
		field   string
	}{
		{"no args", nil, nil, "args"},
		{"nil pointer", (*nilKind)(nil), nil, "args"},
		{"empty kind", hostile{}, nil, "kind"},
		{"kind with a space", hostile{kind: "a b"}, nil, "kind"},
		{"long kind", hostile{kind: long}, nil, "kind"},
		{"not encodable", hostile{kind: "x", C: make(chan int)}, nil, "args"},
		{"empty ID", task{}, options{batch.ID(q, "")}, "ID"},
		{"ID with a space", task{}, options{batch.ID(q, "a b")}, "ID"},
		{"ID beyond ASCII", task{}, options{batch.ID(q, "\u00e9")}, "ID"},
		{"long ID", task{}, options{batch.ID(q, long)}, "ID"},
		{"no attempts", task{}, options{batch.MaxAttempts(q, 0)}, "MaxAttempts"},
		{"negative attempts", task{}, options{batch.MaxAttempts(q, -1)}, "MaxAttempts"},
		{"too many attempts", task{}, options{batch.MaxAttempts(q, 1001)}, "MaxAttempts"},
		{"negative timeout", task{}, options{batch.Timeout(q, -1)}, "Timeout"},
		{"timeout of nothing", task{}, options{batch.Timeout(q, 0)}, "Timeout"},
		{"negative expiry", task{}, options{batch.ExpiresIn(q, -time.Hour)}, "ExpiresIn"},
		{"negative delay", task{}, options{batch.Delay(q, -1)}, "Delay"},
		{"delay without end", task{}, options{batch.Delay(q, 1<<62)}, "Delay"},
		{"at the end of time", task{}, options{batch.At(q, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))}, "At"},
		{"level too high", task{}, options{batch.Priority(q, batch.Critical+1)}, "Priority"},
		{"level too low", task{}, options{batch.Priority(q, batch.Trivial-1)}, "Priority"},
		{"empty key", task{}, options{batch.Unique(q, "")}, "Unique key"},
		{"empty group", task{}, options{batch.Group(q, "")}, "Group"},
		{"group and delay", task{}, options{batch.Group(q, "g"), batch.Delay(q, time.Second)}, "options"},
		{"empty header name", task{}, options{batch.Header(q, "", "x")}, "header name"},
		{"header name with a space", task{}, options{batch.Header(q, "a b", "x")}, "header name"},
		{"reserved header", task{}, options{batch.Header(q, "Batch-Id", "x")}, "header name"},
		{"10 000 headers", task{}, options{batch.Headers(q, many)}, "headers"},
		{"headers too large", task{}, options{batch.Header(q, "a", strings.Repeat("x", 1<<20))}, "headers"},
		{"body too large", hostile{kind: "x", C: strings.Repeat("x", d.Info().Limits.MaxBody)}, nil, "body"},
		{"zero option", task{}, options{{}}, "option"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := q.Enqueue(t.Context(), tt.args, tt.options...)
			var bad *batch.InvalidError
			if !errors.As(err, &bad) || !errors.Is(err, batch.ErrInvalid) || bad.Field != tt.field || bad.Bound == "" {
				t.Errorf("Enqueue = %v, want an InvalidError for %q with its bound", err, tt.field)
			}
			if err != nil && len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
	if d.enqueues != 0 || d.declares != 0 {
		t.Errorf("%d declares and %d enqueues were sent", d.declares, d.enqueues)
	}
}

func TestAtomicEnqueueIsAllOrNone(t *testing.T) {
	q := batch.NewQueue(memory.New(), "tasks")
	request := func(n int, o ...batch.Option[*memory.Driver]) batch.Request[*memory.Driver] {
		return batch.Request[*memory.Driver]{Args: task{n}, Options: o}
	}
	receipts, err := batch.EnqueueAtomic(t.Context(), q, []batch.Request[*memory.Driver]{request(0), request(1, batch.Unique(q, "k"))})
	if err != nil || len(receipts) != 2 || receipts[0].ID == "" {
		t.Fatalf("EnqueueAtomic = %v, %v", receipts, err)
	}
	_, err = batch.EnqueueAtomic(t.Context(), q, []batch.Request[*memory.Driver]{request(2), request(3, batch.Unique(q, "k"))})
	var failed *batch.EnqueueError
	if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || !errors.Is(err, batch.ErrDuplicate) {
		t.Errorf("EnqueueAtomic with a duplicate = %v", err)
	}
	_, err = batch.EnqueueAtomic(t.Context(), q, []batch.Request[*memory.Driver]{request(4), {Args: nil}})
	if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "job 2 of 2") {
		t.Errorf("EnqueueAtomic with a bad job = %v", err)
	}
	_, err = batch.EnqueueAtomic(t.Context(), q, make([]batch.Request[*memory.Driver], q.Driver().AtomicLimit()+1))
	if !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("EnqueueAtomic beyond the limit = %v", err)
	}
	if left := depth(t, q); left.Waiting != 2 {
		t.Errorf("depth = %+v, want the 2 jobs of the first call", left)
	}
}
