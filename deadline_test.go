package batch_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// mute is a driver whose broker answers nothing: every call returns when its context ends,
// as drivers promise.
type mute struct{ *memory.Driver }

// waits is the end of every call.
func waits(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }

func (mute) Declare(ctx context.Context, _ string) error     { return waits(ctx) }
func (mute) DeleteQueue(ctx context.Context, _ string) error { return waits(ctx) }
func (mute) Enqueue(ctx context.Context, _ string, m []*driver.Message) []driver.Result {
	return sameResult(m, waits(ctx))
}
func (mute) EnqueueAtomic(ctx context.Context, _ string, _ []*driver.Message) error {
	return waits(ctx)
}
func (mute) Consume(ctx context.Context, _ string, _ driver.ConsumeOptions) (driver.Consumer, error) {
	return nil, waits(ctx)
}
func (mute) Depth(ctx context.Context, _ string) (driver.Depth, error) {
	return driver.Depth{}, waits(ctx)
}
func (mute) DeadLetters(ctx context.Context, _, _ string, _ int) ([]driver.DeadLetter, string, error) {
	return nil, "", waits(ctx)
}
func (mute) Redrive(ctx context.Context, _ string, _ driver.Selection) (int, error) {
	return 0, waits(ctx)
}
func (mute) Discard(ctx context.Context, _ string, _ driver.Selection) (int, error) {
	return 0, waits(ctx)
}
func (mute) List(ctx context.Context, _ string, _ driver.State, _ string, _ int) ([]driver.Entry, string, error) {
	return nil, "", waits(ctx)
}
func (mute) Find(ctx context.Context, _, _ string) (driver.Entry, error) {
	return driver.Entry{}, waits(ctx)
}
func (mute) Delete(ctx context.Context, _, _ string) error      { return waits(ctx) }
func (mute) Pause(ctx context.Context, _ string) error          { return waits(ctx) }
func (mute) Resume(ctx context.Context, _ string) error         { return waits(ctx) }
func (mute) Paused(ctx context.Context, _ string) (bool, error) { return false, waits(ctx) }
func (mute) ListQueues(ctx context.Context) ([]string, error)   { return nil, waits(ctx) }
func (mute) Purge(ctx context.Context, _ string) (int, error)   { return 0, waits(ctx) }
func (mute) Import(ctx context.Context, _ string, e []*driver.Entry) []driver.Result {
	return sameResult(e, waits(ctx))
}

// muteCalls are all calls of the library that wait for a broker. Those whose name begins
// with "enqueue" are bounded without a context.
func muteCalls(t *testing.T) map[string]func(context.Context, *batch.Queue[mute]) error {
	requests := []batch.Request[mute]{{Args: task{1}}, {Args: task{2}}}
	entry := batch.Entry{State: batch.StateWaiting, Message: driver.Message{ID: "a", Kind: "task", ContentType: "application/json", EnqueuedAt: time.Now()}}
	admin := func(q *batch.Queue[mute]) *batch.QueueAdmin {
		a, err := batch.Admin(q.Driver(), q.Name())
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	return map[string]func(context.Context, *batch.Queue[mute]) error{
		"enqueue": func(ctx context.Context, q *batch.Queue[mute]) error { _, err := q.Enqueue(ctx, task{}); return err },
		"enqueue many": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := q.EnqueueMany(ctx, requests)
			return err
		},
		"enqueue all": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := batch.EnqueueAll(ctx, q, []task{{1}, {2}})
			return err
		},
		"enqueue atomic": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := batch.EnqueueAtomic(ctx, q, requests)
			return err
		},
		"enqueue prepared": func(ctx context.Context, q *batch.Queue[mute]) error {
			p, err := q.Prepare(ctx, task{})
			if err != nil {
				return err
			}
			_, err = q.EnqueuePrepared(ctx, p)
			return err
		},
		"enqueue by import": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := batch.Import(ctx, q, []batch.Entry{entry})
			return err
		},
		"enqueue by redrive with body": func(ctx context.Context, q *batch.Queue[mute]) error {
			return batch.RedriveWithBody(ctx, q, batch.DeadLetter{Message: entry.Message}, nil)
		},
		"declare": func(ctx context.Context, q *batch.Queue[mute]) error { return q.Declare(ctx) },
		"exists":  func(ctx context.Context, q *batch.Queue[mute]) error { _, err := q.Exists(ctx); return err },
		"depth":   func(ctx context.Context, q *batch.Queue[mute]) error { _, err := q.Depth(ctx); return err },
		"delete":  func(ctx context.Context, q *batch.Queue[mute]) error { return q.Delete(ctx) },
		"count": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := q.DeadLetters().Count(ctx)
			return err
		},
		"dead letters": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, _, err := q.DeadLetters().List(ctx, "", 10)
			return err
		},
		"redrive": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := q.DeadLetters().Redrive(ctx, "a")
			return err
		},
		"redrive all": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := q.DeadLetters().RedriveAll(ctx)
			return err
		},
		"discard": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := q.DeadLetters().Delete(ctx, "a")
			return err
		},
		"discard all": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := q.DeadLetters().Purge(ctx)
			return err
		},
		"list": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, _, err := batch.ListJobs(ctx, q, batch.StateWaiting, "", 10)
			return err
		},
		"find": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := batch.FindJob(ctx, q, "a")
			return err
		},
		"delete job": func(ctx context.Context, q *batch.Queue[mute]) error { return batch.DeleteJob(ctx, q, "a") },
		"pause":      func(ctx context.Context, q *batch.Queue[mute]) error { return batch.Pause(ctx, q) },
		"resume":     func(ctx context.Context, q *batch.Queue[mute]) error { return batch.Resume(ctx, q) },
		"paused":     func(ctx context.Context, q *batch.Queue[mute]) error { _, err := batch.Paused(ctx, q); return err },
		"purge":      func(ctx context.Context, q *batch.Queue[mute]) error { _, err := batch.Purge(ctx, q); return err },
		"queues": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := batch.ListQueues(ctx, q.Driver())
			return err
		},
		"admin import": func(ctx context.Context, q *batch.Queue[mute]) error {
			_, err := admin(q).Import(ctx, []batch.Entry{entry})
			return err
		},
		"start": func(ctx context.Context, q *batch.Queue[mute]) error {
			w := batch.NewWorker(q.Driver(), batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: q.Name()}}, Log: silent})
			batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
			return w.Start(ctx)
		},
	}
}

// Every call ends with its context, whatever the broker does, and the core adds no wait of
// its own. A call that stores jobs ends without one too.
func TestCallsEndWithTheirContexts(t *testing.T) {
	const timeout, enough = 10 * time.Second, 500 * time.Millisecond
	for name, call := range muteCalls(t) {
		for _, how := range []string{"deadline", "cancel", "ended before", "none"} {
			t.Run(name+"/"+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					want, after := context.DeadlineExceeded, enough
					switch how {
					case "deadline":
						bounded, cancel := context.WithTimeout(ctx, enough)
						defer cancel()
						ctx = bounded
					case "cancel":
						time.AfterFunc(enough, cancel)
						want = context.Canceled
					case "ended before":
						cancel()
						want, after = context.Canceled, 0
					case "none":
						if len(name) < 7 || name[:7] != "enqueue" {
							t.Skip("only its context bounds it")
						}
						after = timeout
					}
					q := batch.NewQueue(mute{memory.New()}, "tasks", batch.WithEnqueueTimeout(timeout))
					start := time.Now()
					err := call(ctx, q)
					if took := time.Since(start); took != after || !errors.Is(err, want) {
						t.Errorf("%v after %s, want %v after %s", err, took, want, after)
					}
				})
			})
		}
	}
}

// An atomic enqueue is tried again while the broker is away, until the broker is back.
func TestAtomicEnqueueWaitsForTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		q := batch.NewQueue(d, "tasks")
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) {
			return sameResult(m, unavailable(driver.FateNotStored)), n <= 5
		}
		receipts, err := batch.EnqueueAtomic(t.Context(), q, []batch.Request[*scripted]{{Args: task{1}}, {Args: task{2}}})
		if left := depth(t, q); err != nil || len(receipts) != 2 || left.Waiting != 2 {
			t.Errorf("%d receipts, %v and %+v; want both stored", len(receipts), err, left)
		}
		d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
			return sameResult(m, unavailable(driver.FateUnknown)), true
		}
		start := time.Now()
		if _, err := batch.EnqueueAtomic(t.Context(), q, []batch.Request[*scripted]{{Args: task{}}}); err == nil || time.Since(start) != 0 {
			t.Errorf("%v after %s, want no second try of what may be stored", err, time.Since(start))
		}
	})
}
