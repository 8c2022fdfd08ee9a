package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// enqueueKey is the key of a value in a context.
type enqueueKey struct{}

// noting is a middleware that notes its name and the IDs of the jobs, and marks what it wraps.
func noting(notes *[]string, name string) batch.EnqueueMiddleware {
	return func(next batch.Enqueuer) batch.Enqueuer {
		return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
			var ids []string
			for _, job := range jobs {
				ids = append(ids, job.ID)
				job.Headers["By"] += name
			}
			*notes = append(*notes, name+" "+strings.Join(ids, " "))
			seen, _ := ctx.Value(enqueueKey{}).(string)
			return next(context.WithValue(ctx, enqueueKey{}, seen+name), jobs)
		}
	}
}

// TestEnqueueMiddlewareWrapsEveryCall makes one call of each kind.
func TestEnqueueMiddlewareWrapsEveryCall(t *testing.T) {
	d := memory.New()
	var notes []string
	q := batch.NewQueue(d, "tasks", batch.WithEnqueueMiddleware(noting(&notes, "a")), batch.WithEnqueueMiddleware(noting(&notes, "b")))
	id := func(id string) []batch.Option[*memory.Driver] {
		return []batch.Option[*memory.Driver]{batch.ID(q, id)}
	}
	ctx := t.Context()
	if receipt, err := q.Enqueue(ctx, task{}, id("1")...); err != nil || receipt.ID != "1" {
		t.Errorf("Enqueue = %+v, %v", receipt, err)
	}
	results, err := q.EnqueueMany(ctx, []batch.Request[*memory.Driver]{{Args: task{}, Options: id("2")}, {Args: nil}, {Args: task{}, Options: id("3")}})
	var many *batch.ManyError
	if !errors.As(err, &many) || many.Refused != 1 || results[0].ID != "2" || !errors.Is(results[1].Err, batch.ErrInvalid) || results[2].ID != "3" {
		t.Errorf("EnqueueMany = %+v, %v", results, err)
	}
	receipts, err := batch.EnqueueAtomic(ctx, q, []batch.Request[*memory.Driver]{{Args: task{}, Options: id("4")}, {Args: task{}, Options: id("5")}})
	if err != nil || len(receipts) != 2 || receipts[1].ID != "5" {
		t.Errorf("EnqueueAtomic = %+v, %v", receipts, err)
	}
	p, err := q.Prepare(ctx, task{}, id("6")...)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.EnqueuePrepared(ctx, p); err != nil {
		t.Error(err)
	}
	if _, err := q.Enqueue(ctx, nil); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("Enqueue(nil) = %v", err)
	}
	if want := []string{"a 1", "b 1", "a 2 3", "b 2 3", "a 4 5", "b 4 5", "a 6", "b 6"}; !slices.Equal(notes, want) {
		t.Errorf("the middleware saw %q, want %q", notes, want)
	}
	for i := range 6 {
		job, err := batch.FindJob(ctx, q, fmt.Sprint(i+1))
		if err != nil || job.Headers["By"] != "ab" {
			t.Errorf("job %d has headers %v, %v", i+1, job.Headers, err)
		}
	}
}

// TestEnqueueMiddlewareDecides lets a middleware answer for the broker, try again, or
// change what it must not.
func TestEnqueueMiddlewareDecides(t *testing.T) {
	refusal := errors.New("over the limit")
	for name, c := range map[string]struct {
		middleware func(next batch.Enqueuer) batch.Enqueuer
		check      func(*testing.T, *batch.Queue[*memory.Driver], batch.Receipt, error)
		stored     int64
	}{
		"refuses": {func(batch.Enqueuer) batch.Enqueuer {
			return func(context.Context, []*batch.EnqueueJob) []batch.Result { return []batch.Result{{Err: refusal}} }
		}, func(t *testing.T, _ *batch.Queue[*memory.Driver], _ batch.Receipt, err error) {
			if err != refusal {
				t.Errorf("Enqueue = %v, want the middleware's error", err)
			}
		}, 0},
		"sends twice": {func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				next(ctx, jobs)
				return next(ctx, jobs)
			}
		}, func(t *testing.T, _ *batch.Queue[*memory.Driver], _ batch.Receipt, err error) {
			if err != nil {
				t.Errorf("Enqueue = %v", err)
			}
		}, 2},
		"panics before": {func(batch.Enqueuer) batch.Enqueuer {
			return func(context.Context, []*batch.EnqueueJob) []batch.Result { panic("boom") }
		}, wantFate(batch.FateNotStored, "boom"), 0},
		"panics after": {func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				next(ctx, jobs)
				panic("boom")
			}
		}, wantFate(batch.FateUnknown, "boom"), 1},
		"forgets a result": {func(batch.Enqueuer) batch.Enqueuer {
			return func(context.Context, []*batch.EnqueueJob) []batch.Result { return nil }
		}, wantFate(batch.FateNotStored, "0 results for 1 jobs"), 0},
		"breaks a header": {func(next batch.Enqueuer) batch.Enqueuer {
			return func(ctx context.Context, jobs []*batch.EnqueueJob) []batch.Result {
				jobs[0].Headers["batch-x"] = "1"
				return next(ctx, jobs)
			}
		}, func(t *testing.T, _ *batch.Queue[*memory.Driver], _ batch.Receipt, err error) {
			if !errors.Is(err, batch.ErrInvalid) {
				t.Errorf("Enqueue = %v, want an error that wraps ErrInvalid", err)
			}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			d := memory.New()
			q := batch.NewQueue(d, "tasks", batch.WithEnqueueMiddleware(c.middleware))
			if err := q.Declare(t.Context()); err != nil {
				t.Fatal(err)
			}
			receipt, err := q.Enqueue(t.Context(), task{})
			c.check(t, q, receipt, err)
			if left := depth(t, q); left.Waiting != c.stored {
				t.Errorf("%d jobs are stored, want %d", left.Waiting, c.stored)
			}
		})
	}
}

// wantFate checks for an EnqueueError.
func wantFate(fate batch.Fate, text string) func(*testing.T, *batch.Queue[*memory.Driver], batch.Receipt, error) {
	return func(t *testing.T, _ *batch.Queue[*memory.Driver], _ batch.Receipt, err error) {
		t.Helper()
		var failed *batch.EnqueueError
		if !errors.As(err, &failed) || failed.Fate != fate || !strings.Contains(err.Error(), text) {
			t.Errorf("Enqueue = %v, want an EnqueueError, %s, about %q", err, fate, text)
		}
	}
}

func TestEnqueueMiddlewareIsChecked(t *testing.T) {
	for name, m := range map[string]batch.EnqueueMiddleware{
		"nil":         nil,
		"returns nil": func(batch.Enqueuer) batch.Enqueuer { return nil },
		"panics":      func(batch.Enqueuer) batch.Enqueuer { panic("boom") },
	} {
		if _, err := batch.TryNewQueue(driver.Driver(memory.New()), "tasks", batch.WithEnqueueMiddleware(m)); err == nil {
			t.Errorf("a middleware that is or %s was taken", name)
		}
	}
}
