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

// missing is what a driver says of a queue that does not exist.
func missing(fate driver.Fate) error {
	return &driver.Error{Driver: "scripted", Op: "call", Queue: "tasks", Kind: driver.ErrNotFound, Fate: fate}
}

// reads are all calls that read a queue or administer it.
func reads(q *batch.Queue[*scripted]) map[string]func(context.Context) error {
	letters := q.DeadLetters()
	return map[string]func(context.Context) error{
		"Depth":                  func(ctx context.Context) error { _, err := q.Depth(ctx); return err },
		"DeadLetters.Count":      func(ctx context.Context) error { _, err := letters.Count(ctx); return err },
		"DeadLetters.List":       func(ctx context.Context) error { _, _, err := letters.List(ctx, "", 10); return err },
		"DeadLetters.Redrive":    func(ctx context.Context) error { _, err := letters.Redrive(ctx, "a"); return err },
		"DeadLetters.RedriveAll": func(ctx context.Context) error { _, err := letters.RedriveAll(ctx); return err },
		"DeadLetters.Delete":     func(ctx context.Context) error { _, err := letters.Delete(ctx, "a"); return err },
		"DeadLetters.Purge":      func(ctx context.Context) error { _, err := letters.Purge(ctx); return err },
		"ListJobs": func(ctx context.Context) error {
			_, _, err := batch.ListJobs(ctx, q, batch.StateWaiting, "", 10)
			return err
		},
		"FindJob":   func(ctx context.Context) error { _, err := batch.FindJob(ctx, q, "a"); return err },
		"DeleteJob": func(ctx context.Context) error { return batch.DeleteJob(ctx, q, "a") },
		"Pause":     func(ctx context.Context) error { return batch.Pause(ctx, q) },
		"Resume":    func(ctx context.Context) error { return batch.Resume(ctx, q) },
		"Paused":    func(ctx context.Context) error { _, err := batch.Paused(ctx, q); return err },
	}
}

// A mistyped name is an error, and makes no queue.
func TestReadingDeclaresNothing(t *testing.T) {
	d := newScripted()
	q := batch.NewQueue(d, "tasks")
	for name, read := range reads(q) {
		if err := read(t.Context()); !errors.Is(err, batch.ErrNotFound) {
			t.Errorf("%s on a queue that does not exist: %v, want ErrNotFound", name, err)
		}
	}
	if there, err := q.Exists(t.Context()); there || err != nil {
		t.Errorf("Exists = %v, %v, want false", there, err)
	}
	if err := q.Delete(t.Context()); err != nil {
		t.Errorf("Delete of a queue that does not exist: %v", err)
	}
	if d.declares != 0 {
		t.Errorf("the queue was declared %d times", d.declares)
	}
	if err := q.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, read := range reads(q) {
		job := name == "FindJob" || name == "DeleteJob"
		if err := read(t.Context()); err != nil && !job {
			t.Errorf("%s on a queue that exists: %v", name, err)
		}
	}
	if there, err := q.Exists(t.Context()); !there || err != nil {
		t.Errorf("Exists = %v, %v, want true", there, err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if there, err := q.Exists(t.Context()); there || !errors.Is(err, batch.ErrClosed) {
		t.Errorf("Exists on a closed driver = %v, %v, want ErrClosed", there, err)
	}
}

// enqueues are the ways to enqueue; each stores two jobs.
var enqueues = map[string]func(context.Context, *batch.Queue[*scripted]) error{
	"Enqueue": func(ctx context.Context, q *batch.Queue[*scripted]) error {
		_, first := q.Enqueue(ctx, task{})
		_, second := q.Enqueue(ctx, task{})
		return errors.Join(first, second)
	},
	"EnqueueMany": func(ctx context.Context, q *batch.Queue[*scripted]) error {
		_, err := q.EnqueueMany(ctx, []batch.Request[*scripted]{{Args: task{}}, {Args: task{}}})
		return err
	},
	"EnqueueAtomic": func(ctx context.Context, q *batch.Queue[*scripted]) error {
		_, err := batch.EnqueueAtomic(ctx, q, []batch.Request[*scripted]{{Args: task{}}, {Args: task{}}})
		return err
	},
}

// A queue that somebody else deleted is declared again by the enqueue that finds out,
// once for each time that it was deleted.
func TestEnqueueDeclaresADeletedQueueAgain(t *testing.T) {
	for name, enqueue := range enqueues {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				q := batch.NewQueue(d, "tasks")
				for round := range 3 {
					if err := enqueue(t.Context(), q); err != nil {
						t.Fatal(err)
					}
					if left := depth(t, q); left.Waiting != 2 || d.declares != round+1 {
						t.Errorf("%+v after %d declarations, want 2 jobs after %d", left, d.declares, round+1)
					}
					if err := d.DeleteQueue(t.Context(), "tasks"); err != nil {
						t.Fatal(err)
					}
				}
			})
		})
	}
}

// Where each new queue is gone again at once, an enqueue goes on within its timeout,
// but not at full speed.
func TestEnqueueOnAQueueThatIsDeletedAgainAndAgain(t *testing.T) {
	for name, enqueue := range enqueues {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				d.onEnqueue = func(_ int, m []*driver.Message) ([]driver.Result, bool) {
					return sameResult(m, missing(driver.FateNotStored)), true
				}
				q := batch.NewQueue(d, "tasks", batch.WithEnqueueTimeout(10*time.Second))
				start := time.Now()
				err := enqueue(t.Context(), q)
				var failed *batch.EnqueueError
				if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || !errors.Is(err, batch.ErrNotFound) {
					t.Errorf("%v, want an EnqueueError with FateNotStored and ErrNotFound", err)
				}
				if took := time.Since(start); took > 21*time.Second { // two calls, with Enqueue
					t.Errorf("it took %s", took)
				}
				time.Sleep(time.Minute) // fake time: let the flush see that nobody waits
				if d.declares > 50 {
					t.Errorf("%d declarations in 10s", d.declares)
				}
			})
		})
	}
}

// A queue that cannot be declared again ends the enqueue with the reason, and the job
// is certainly not stored, whatever is known of the declaration.
func TestEnqueueOnADeletedQueueThatCannotBeDeclared(t *testing.T) {
	for name, enqueue := range enqueues {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				q := batch.NewQueue(d, "tasks")
				if err := q.Declare(t.Context()); err != nil {
					t.Fatal(err)
				}
				if err := d.DeleteQueue(t.Context(), "tasks"); err != nil {
					t.Fatal(err)
				}
				d.onDeclare = func(n int) error {
					if n == 2 {
						return unavailable(driver.FateUnknown)
					}
					return &driver.Error{Driver: "scripted", Op: "declare", Kind: driver.ErrConflict, Fate: driver.FateUnknown}
				}
				err := enqueue(t.Context(), q)
				var failed *batch.EnqueueError
				if !errors.As(err, &failed) || failed.Fate != batch.FateNotStored || !errors.Is(err, batch.ErrConflict) {
					t.Errorf("%v, want an EnqueueError with FateNotStored and ErrConflict", err)
				}
				if !strings.Contains(fmt.Sprint(err), "not found") {
					t.Errorf("%v, want it to say that the queue was not found", err)
				}
			})
		})
	}
}

// A job that may be stored although the queue is missing is not sent again. The next
// enqueue declares the queue.
func TestEnqueueOnAMissingQueueWithUnknownFate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) {
			return sameResult(m, missing(driver.FateUnknown)), n == 1
		}
		q := batch.NewQueue(d, "tasks")
		_, err := q.Enqueue(t.Context(), task{})
		var failed *batch.EnqueueError
		if !errors.As(err, &failed) || failed.Fate != batch.FateUnknown || d.enqueues != 1 {
			t.Errorf("%v after %d requests, want one with FateUnknown", err, d.enqueues)
		}
		if _, err := q.Enqueue(t.Context(), task{}); err != nil || d.declares != 2 {
			t.Errorf("%v after %d declarations, want the second to help", err, d.declares)
		}
	})
}

// Requests that are under way when the queue is deleted share one declaration.
func TestRequestsShareTheNewDeclaration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		q := batch.NewQueue(d, "tasks")
		if _, err := q.Enqueue(t.Context(), task{}); err != nil {
			t.Fatal(err)
		}
		if err := d.DeleteQueue(t.Context(), "tasks"); err != nil {
			t.Fatal(err)
		}
		slow := make(chan struct{})
		d.onEnqueue = func(n int, m []*driver.Message) ([]driver.Result, bool) {
			if n != 2 {
				return nil, false
			}
			<-slow // it was sent first, and is answered last
			return sameResult(m, missing(driver.FateNotStored)), true
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := q.Enqueue(t.Context(), task{}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		// An atomic enqueue does not wait for other requests.
		if _, err := batch.EnqueueAtomic(t.Context(), q, []batch.Request[*scripted]{{Args: task{}}}); err != nil {
			t.Error(err)
		}
		close(slow)
		wg.Wait()
		if left := depth(t, q); left.Waiting != 2 || d.declares != 2 {
			t.Errorf("%+v after %d declarations, want 2 jobs after 2", left, d.declares)
		}
	})
}

// A worker whose queue is deleted declares it again, and goes on.
func TestWorkerDeclaresADeletedQueueAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		r := newRig(t, d, nil)
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.start(t)
		synctest.Wait()
		if err := r.queue.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // fake time: the worker finds out
		if there, err := r.queue.Exists(t.Context()); !there || err != nil {
			t.Errorf("Exists = %v, %v, want the worker to have declared the queue", there, err)
		}
		r.enqueue(t, task{})
		if end := <-r.events.ended; end.Err != nil {
			t.Error(end.Err)
		}
		r.stop(t)
	})
}

// After this handle has deleted the queue, the next enqueue declares it first, and does not
// have to find out.
func TestEnqueueAfterDelete(t *testing.T) {
	d := newScripted()
	q := batch.NewQueue(d, "tasks")
	for range 2 {
		if _, err := q.Enqueue(t.Context(), task{}); err != nil {
			t.Fatal(err)
		}
		if err := q.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if d.declares != 2 || d.enqueues != 2 {
		t.Errorf("%d declarations and %d requests for two jobs, want two each", d.declares, d.enqueues)
	}
}
