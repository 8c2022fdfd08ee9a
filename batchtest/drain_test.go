package batchtest_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

var silent = slog.New(slog.DiscardHandler)

// welcomes makes a worker for queue emails with a handler.
func welcomes(d batch.Driver, handler func(context.Context, *batch.Job[Welcome]) error) *batch.Worker {
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails"}}, Log: silent})
	batch.Handle(w, handler)
	return w
}

// 25 attempts take days.
func TestDrainWaitsForAllAttempts(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		enqueue(t, emails, "1", Welcome{UserID: 7}, batch.Delay(emails, time.Hour))
		start := time.Now()
		results := batchtest.Drain(t, emails.Driver(), welcomes(emails.Driver(), func(context.Context, *batch.Job[Welcome]) error {
			return errors.New("mailbox full")
		}))
		if len(results) != 25 {
			t.Fatalf("there are %d results, want 25", len(results))
		}
		due := start.Add(time.Hour)
		for i, r := range results {
			batchtest.RequireRetry(t, r.Err)
			if late := r.EndedAt.Sub(due); r.Job.Attempt != i+1 || r.Verdict.Failures != i+1 || late < 0 || late > time.Second {
				t.Errorf("result %d, %s late, is %s", i+1, late, r)
			}
			due = r.EndedAt.Add(r.Verdict.Delay)
		}
		letter := batchtest.RequireDead[Welcome](t, emails, batchtest.WithReason(batch.ReasonAttempts), batchtest.WithFailures(25))
		if days := letter.DeadAt.Sub(start) / (24 * time.Hour); days < 1 {
			t.Errorf("the job died after %s, want days", letter.DeadAt.Sub(start))
		}
		if !letter.DeadAt.Equal(time.Now()) {
			t.Errorf("it is %s, and the last job ended at %s", time.Now(), letter.DeadAt)
		}
	})
}

// Jobs that jobs enqueue are waited for, on all queues of the workers. Other queues are left alone.
func TestDrainWaitsForWhatFollows(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		d := emails.Driver()
		bills, later := batch.NewQueue(d, "bills"), batch.NewQueue(d, "later")
		enqueue(t, emails, "first", Welcome{UserID: 1})
		first := welcomes(d, func(ctx context.Context, job *batch.Job[Welcome]) error {
			time.Sleep(20 * time.Minute) // a slow one
			_, err := bills.Enqueue(ctx, Goodbye{UserID: job.Args.UserID}, batch.Delay(bills, 24*time.Hour))
			return err
		})
		second := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "bills"}}, Log: silent})
		batch.Handle(second, func(ctx context.Context, job *batch.Job[Goodbye]) error {
			if _, err := later.Enqueue(ctx, job.Args); err != nil || job.Args.UserID > 1 {
				return err
			}
			_, err := emails.Enqueue(ctx, Welcome{UserID: job.Args.UserID + 1})
			return err
		})
		if results := batchtest.Drain(t, d, first, second); len(results) != 4 {
			t.Errorf("there are %d results, want 4", len(results))
		}
		batchtest.RequireEmpty(t, bills)
		enqueue(t, emails, "more", Welcome{}) // nobody works any more
		synctest.Wait()
		batchtest.RequireEnqueued[Welcome](t, emails)
		batchtest.RequireEnqueuedMany[Goodbye](t, later, 2)
	})
}

func TestRunningDrainsAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		running := batchtest.Start(t, emails.Driver(), welcomes(emails.Driver(), greet))
		for round := range 3 {
			for range 5 {
				if _, err := emails.Enqueue(t.Context(), Welcome{UserID: round}, batch.Delay(emails, time.Minute)); err != nil {
					t.Fatal(err)
				}
			}
			results := running.Drain()
			if len(results) != 5 {
				t.Errorf("round %d has %d results, want 5", round, len(results))
			}
			for _, r := range results {
				if want := batch.ReturnDone; round > 0 && batch.OutcomeOf(r.Err).Kind != want {
					t.Errorf("round %d: %s", round, r)
				}
			}
		}
		if n := len(running.Results()); n != 15 {
			t.Errorf("there are %d results in all, want 15", n)
		}
		if results := running.Drain(); len(results) != 0 {
			t.Errorf("a drain with nothing to do has %d results", len(results))
		}
		if n, err := emails.DeadLetters().Count(t.Context()); n != 5 || err != nil {
			t.Errorf("there are %d dead letters, %v", n, err)
		}
	})
}

// A queue that is deleted meanwhile has nothing left to do.
func TestDrainOfADeletedQueue(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		enqueue(t, emails, "1", Welcome{})
		results := batchtest.Drain(t, emails.Driver(), welcomes(emails.Driver(), func(ctx context.Context, _ *batch.Job[Welcome]) error {
			return emails.Delete(ctx)
		}))
		if len(results) != 1 {
			t.Errorf("there are %d results", len(results))
		}
	})
}

// Start works in real time too.
func TestStartOutsideOfABubble(t *testing.T) {
	d := memory.New()
	emails := batch.NewQueue(d, "emails")
	ran := make(chan int, 1)
	batchtest.Start(t, d, welcomes(d, func(_ context.Context, job *batch.Job[Welcome]) error {
		ran <- job.Args.UserID
		return nil
	}))
	enqueue(t, emails, "1", Welcome{UserID: 7})
	if id := <-ran; id != 7 {
		t.Errorf("user %d, want 7", id)
	}
}

// Tests may run in parallel.
func TestDrainsInParallel(t *testing.T) {
	for range 20 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := memory.New()
				emails := batch.NewQueue(d, "emails")
				for id := range 10 {
					if _, err := emails.Enqueue(t.Context(), Welcome{UserID: id}); err != nil {
						t.Fatal(err)
					}
				}
				batchtest.RequireEnqueuedMany[Welcome](t, emails, 10)
				if results := batchtest.Drain(t, d, welcomes(d, greet)); len(results) != 10 {
					t.Errorf("there are %d results, want 10", len(results))
				}
				batchtest.RequireDead[Welcome](t, emails, batchtest.WithReason(batch.ReasonPermanent))
			})
		})
	}
}

// What ends before the drain begins is among its results.
func TestDrainHasAllResults(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		enqueue(t, emails, "1", Welcome{UserID: 7})
		running := batchtest.Start(t, emails.Driver(), welcomes(emails.Driver(), greet))
		synctest.Wait() // it has ended
		enqueue(t, emails, "2", Welcome{UserID: 7}, batch.Delay(emails, time.Hour))
		if results := running.Drain(); len(results) != 2 || results[0].Job.ID != "1" || results[1].Job.ID != "2" {
			t.Errorf("the results are %v", results)
		}
	})
}
