package batch_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// pairStart is a hook for the start of runs, and enqueuePair one for that of enqueues.
type (
	pairStart   func()
	enqueuePair func(id string)
)

func (h pairStart) OnJobStart(context.Context, *batch.JobInfo) context.Context { h(); return nil }

func (h enqueuePair) OnEnqueueStart(_ context.Context, e *batch.EnqueueStart) context.Context {
	h(e.ID)
	return nil
}

// What a hook has begun in OnJobStart it can end in OnJobEnd, whatever a later hook does: each
// run has one end, after its start, with the context of the start.
func TestEachJobStartHasItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		act    func(release <-chan struct{})
		called bool // the handler is
	}{
		"returns": {func(<-chan struct{}) {}, true},
		"panics":  {func(<-chan struct{}) { panic("boom") }, true},
		"Goexit":  {func(<-chan struct{}) { runtime.Goexit() }, false},
		"hangs":   {func(release <-chan struct{}) { <-release }, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				first, release := &spans{name: "a:"}, make(chan struct{})
				called := false
				r := newRig(t, memory.New(), func(w *batch.WorkerConfig) {
					w.Hooks = append(w.Hooks, first, pairStart(func() { c.act(release) }))
					w.Timeout, w.StuckAfter, w.MaxAttempts = time.Minute, time.Second, 1
				})
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { called = true; return nil })
				r.enqueue(t, task{}, batch.ID(r.queue, "1"))
				r.start(t)
				time.Sleep(time.Hour)
				close(release)
				synctest.Wait()
				r.stop(t)
				seen := slices.DeleteFunc(first.take(), func(event string) bool { return strings.HasPrefix(event, "stuck") })
				if !slices.Equal(seen, []string{"job end a:1"}) || called != c.called {
					t.Errorf("the ends are %q, and the handler was called: %t; want one with the context of its start, and %t", seen, called, c.called)
				}
				if left := depth(t, r.queue); left.Waiting+left.Running+left.Scheduled > 0 || (left.Dead == 1) == c.called {
					t.Errorf("left is %+v", left)
				}
			})
		})
	}
}

// It is the same for enqueues, if a codec or a hook ends the goroutine.
func TestEachEnqueueStartHasItsEnd(t *testing.T) {
	for name, enqueue := range map[string]func(ctx context.Context, q *batch.Queue[*memory.Driver]) error{
		"one": func(ctx context.Context, q *batch.Queue[*memory.Driver]) error {
			_, err := q.Enqueue(ctx, task{}, batch.ID(q, "2"))
			return err
		},
		"many": func(ctx context.Context, q *batch.Queue[*memory.Driver]) error {
			_, err := q.EnqueueMany(ctx, twoRequests(q))
			return err
		},
		"atomic": func(ctx context.Context, q *batch.Queue[*memory.Driver]) error {
			_, err := batch.EnqueueAtomic(ctx, q, twoRequests(q))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			first, ended := &spans{name: "a:"}, make(chan struct{})
			q := batch.NewQueue(memory.New(), "tasks", batch.WithHooks(first, enqueuePair(func(id string) {
				if id == "2" {
					runtime.Goexit()
				}
			})))
			go func() {
				defer close(ended)
				t.Error(enqueue(context.Background(), q)) // is not reached
			}()
			<-ended
			want := []string{"end 2 a:2", "end 1 a:1"}
			if name == "one" {
				want = want[:1]
			}
			if seen := first.take(); !slices.Equal(seen, want) {
				t.Errorf("the ends are %q, want %q", seen, want)
			}
		})
	}
}

// twoRequests are two jobs.
func twoRequests(q *batch.Queue[*memory.Driver]) []batch.Request[*memory.Driver] {
	var all []batch.Request[*memory.Driver]
	for _, id := range []string{"1", "2"} {
		all = append(all, batch.Request[*memory.Driver]{Args: task{}, Options: []batch.Option[*memory.Driver]{batch.ID(q, id)}})
	}
	return all
}

// headersOf are the IDs and a header of the jobs of calls of one kind.
type headersOf struct {
	op   batch.Op
	seen []string
}

func (h *headersOf) OnCall(_ context.Context, c batch.Call) {
	if c.Op == batch.OpDeclare && c.Headers != nil {
		panic("a declare is about no jobs")
	}
	if c.Op != h.op {
		return
	}
	for id, headers := range c.Headers {
		h.seen = append(h.seen, id+" "+headers["trace"])
		if len(h.seen) == 2 {
			break
		}
	}
}

// A call tells the IDs and the headers of its jobs.
func TestCallHeaders(t *testing.T) {
	for _, op := range []batch.Op{batch.OpEnqueue, batch.OpReceive, batch.OpSettle, batch.OpImport} {
		t.Run(string(op), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h, d := &headersOf{op: op}, memory.New()
				q := batch.NewQueue(d, "tasks", batch.WithHooks(h))
				var err error
				if op == batch.OpImport {
					m := func(id string) driver.Message {
						return driver.Message{ID: id, Kind: "task", ContentType: "text/plain", EnqueuedAt: time.Now(), Headers: map[string]string{"trace": "t" + id}}
					}
					_, err = batch.Import(t.Context(), q, []batch.Entry{{Message: m("1"), State: batch.StateWaiting}, {Message: m("2"), State: batch.StateWaiting}, {Message: m("3"), State: batch.StateWaiting}})
				} else {
					requests := twoRequests(q)
					for i := range requests {
						requests[i].Options = append(requests[i].Options, batch.Header(q, "trace", "t"+string(rune('1'+i))))
					}
					_, err = batch.EnqueueAtomic(t.Context(), q, requests)
				}
				if err != nil {
					t.Fatal(err)
				}
				r := newRig(t, d, func(w *batch.WorkerConfig) {
					w.Hooks = append(w.Hooks, h)
					w.Queues[0].Concurrency = 1
				})
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { time.Sleep(time.Second); return nil })
				r.start(t)
				time.Sleep(time.Minute)
				r.stop(t)
				if want := []string{"1 t1", "2 t2"}; !slices.Equal(h.seen[:2], want) {
					t.Errorf("the jobs are %q, want %q", h.seen, want)
				}
			})
		})
	}
}
