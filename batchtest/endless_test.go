package batchtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

// drained is what a test says that drains a queue with one job and a handler.
func drained(t *testing.T, handler func(context.Context, *batch.Job[Welcome]) error) (message string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		enqueue(t, batch.NewQueue(d, "emails"), "1", Welcome{UserID: 7})
		f := try(t, func(t testing.TB) {
			batchtest.Drain(t, d, welcomes(d, handler))
			t.Errorf("Drain has returned")
		})
		message = strings.Join(f.messages, "\n")
	})
	return message
}

func TestEndlessSnoozeIsNoticed(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{0, time.Millisecond, 24 * time.Hour} {
		got := drained(t, func(context.Context, *batch.Job[Welcome]) error { return batch.Snooze(delay) })
		want := "batchtest: job 1 of kind email.welcome on queue emails was snoozed 10000 times in a row, the last time for " + delay.String() +
			", and seems to go on for ever: snoozed for " + delay.String() + " (if it is meant to, use Start, and let time pass with time.Sleep)"
		if got != want {
			t.Errorf("for a snooze of %s the test says\n%s\nwant\n%s", delay, got, want)
		}
	}
}

// Snoozes that end are waited for.
func TestLongPollIsNoEndlessSnooze(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, "emails")
		enqueue(t, emails, "1", Welcome{})
		ready := time.Now().Add(2 * time.Hour)
		results := batchtest.Drain(t, d, welcomes(d, func(context.Context, *batch.Job[Welcome]) error {
			if time.Now().Before(ready) {
				return batch.Snooze(time.Second)
			}
			return nil
		}))
		if len(results) != 7201 {
			t.Errorf("there are %d results, want 7201", len(results))
		}
	})
}

func TestEndlessEnqueuesAreNoticed(t *testing.T) {
	t.Parallel()
	const kinds = "100 of kind email.welcome on queue emails"
	for name, test := range map[string]struct {
		delay time.Duration
		want  string
	}{
		"at once": {0, "batchtest: jobs were run 50000 times and there are more: handlers seem to enqueue jobs for ever (of the last 100, " + kinds +
			") (if it is meant to, use Start, and let time pass with time.Sleep)"},
		"yearly": {365 * 24 * time.Hour, "batchtest: Drain waits in vain: it is the year 2200 in fake time, and there are still jobs\n  the last results: " + kinds},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
				enqueue(t, emails, "1", Welcome{})
				wantFailure(t, test.want, func(t testing.TB) {
					batchtest.Drain(t, emails.Driver(), welcomes(emails.Driver(), func(ctx context.Context, job *batch.Job[Welcome]) error {
						_, err := emails.Enqueue(ctx, job.Args, batch.Delay(emails, test.delay))
						return err
					}))
				})
			})
		})
	}
}

// Outside of a drain jobs may go on for ever.
func TestEndlessJobsOfAStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, "emails")
		enqueue(t, emails, "1", Welcome{})
		f := try(t, func(t testing.TB) {
			end := time.Now().Add(37 * 24 * time.Hour)
			running := batchtest.Start(t, d, welcomes(d, func(context.Context, *batch.Job[Welcome]) error {
				if time.Now().Before(end) {
					return batch.Snooze(time.Minute)
				}
				return nil
			}))
			time.Sleep(35*24*time.Hour + time.Second)
			if n := len(running.Results()); n != 35*24*60+1 {
				t.Errorf("%d runs in 35 days, want one each minute", n)
			}
			// What was before does not count.
			if n := len(running.Drain()); n != 37*24*60+1 {
				t.Errorf("%d results in all, want one for each minute", n)
			}
		})
		if len(f.messages) > 0 {
			t.Errorf("the test says %q", f.messages)
		}
	})
}

// Without time passing, no jobs may go on for ever.
func TestEndlessJobsOfAStartAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		enqueue(t, batch.NewQueue(d, "emails"), "1", Welcome{})
		f := try(t, func(t testing.TB) {
			batchtest.Start(t, d, welcomes(d, func(context.Context, *batch.Job[Welcome]) error { return batch.Snooze(0) }))
			time.Sleep(time.Second)
		})
		want := "batchtest: jobs were run 50000 times without time passing: they seem to come back at once for ever (of the last 100, 100 of kind email.welcome on queue emails)"
		if len(f.messages) != 1 || f.messages[0] != want {
			t.Errorf("the test says %q", f.messages)
		}
	})
}

func TestDrainSaysWhyItWaitsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, "emails")
		enqueue(t, emails, "1", Welcome{})
		if err := batch.Pause(t.Context(), emails); err != nil {
			t.Fatal(err)
		}
		wantFailure(t, "batchtest: Drain waits in vain: 1 job is waiting on queue emails, which is paused, and no worker takes what waits",
			func(t testing.TB) { batchtest.Drain(t, d, welcomes(d, greet)) })
	})
}

func TestDrainOfAnotherDriver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, other := memory.New(), memory.New()
		wantFailure(t, "batchtest: queue emails of the workers is not on the driver: must be the driver that the workers were made with: "+
			"memory: depth on queue emails: not found: the queue does not exist", func(t testing.TB) { batchtest.Drain(t, d, welcomes(other, greet)) })
		enqueue(t, batch.NewQueue(d, "emails"), "1", Welcome{})
		wantFailure(t, "batchtest: Drain waits in vain: 1 job is waiting on queue emails, and no worker takes what waits",
			func(t testing.TB) { batchtest.Drain(t, d, welcomes(other, greet)) })
	})
}

func TestDrainThatCannotBe(t *testing.T) {
	d := memory.New()
	for _, workers := range [][]*batch.Worker{{}, {nil}, {welcomes(d, greet), nil}} {
		wantFailure(t, "batchtest: Start and Drain need a driver and at least one worker, and none that is nil", func(t testing.TB) { batchtest.Drain(t, d, workers...) })
	}
	wantFailure(t, "batchtest: Drain is called outside of a bubble: must be within synctest.Test (goroutine is not in a bubble)",
		func(t testing.TB) { batchtest.Drain(t, d, welcomes(d, greet)) })
	wantFailure(t, "batchtest: batch: invalid worker without a handler: must be given one for each kind by Handle", func(t testing.TB) {
		batchtest.Drain(t, d, batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails"}}}))
	})
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		w := welcomes(d, greet)
		const before = "batchtest: a worker was started before: Start and Drain do that themselves, and for a second drain there is Running.Drain: batch: add hooks: "
		running := batchtest.Start(t, d, w)
		wantFailure(t, before+"worker already started", func(t testing.TB) { batchtest.Drain(t, d, w) })
		running.Drain()
		w = welcomes(d, greet)
		batchtest.Drain(t, d, w)
		wantFailure(t, before+"worker has stopped, and runs only once", func(t testing.TB) { batchtest.Drain(t, d, w) })
	})
}

// A handler may end the test by itself, and does so at once.
func TestDrainEndsWithItsHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		enqueue(t, batch.NewQueue(d, "emails"), "1", Welcome{})
		runs := 0
		f := try(t, func(t testing.TB) {
			batchtest.Drain(t, d, welcomes(d, func(context.Context, *batch.Job[Welcome]) error {
				runs++
				t.Fatalf("in the handler")
				return nil
			}))
			t.Errorf("the test goes on")
		})
		if runs != 1 || len(f.messages) != 1 || f.messages[0] != "in the handler" {
			t.Errorf("after %d runs the test says %q", runs, f.messages)
		}
	})
}

// A handler that does not return is named, and does not keep the test.
func TestStuckHandlerIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		enqueue(t, batch.NewQueue(d, "emails"), "1", Welcome{})
		release := make(chan struct{})
		wantFailure(t, "batchtest: the handler of job 1 of kind email.welcome on queue emails did not return for 30s after its context had ended: "+
			"its goroutine is left behind, and the bubble cannot end without it", func(t testing.TB) {
			batchtest.Drain(t, d, welcomes(d, func(context.Context, *batch.Job[Welcome]) error {
				<-release
				return errors.New("late")
			}))
		})
		close(release)
	})
}
