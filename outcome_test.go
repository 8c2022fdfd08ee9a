package batch_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

func TestOutcomeOf(t *testing.T) {
	boom := errors.New("boom")
	for _, tt := range []struct {
		err    error
		want   batch.Return
		text   string
		failed bool
	}{
		{nil, batch.Return{Kind: batch.ReturnDone}, "done", false},
		{boom, batch.Return{Kind: batch.ReturnRetry}, "retry", true},
		{&batch.PanicError{Value: boom}, batch.Return{Kind: batch.ReturnRetry}, "retry", true},
		{batch.RetryAfter(time.Minute, nil), batch.Return{Kind: batch.ReturnRetryAfter, Delay: time.Minute}, "retry after", true},
		{batch.Snooze(time.Hour), batch.Return{Kind: batch.ReturnSnooze, Delay: time.Hour}, "snooze", false},
		{fmt.Errorf("later: %w", batch.Snooze(-time.Hour)), batch.Return{Kind: batch.ReturnSnooze}, "snooze", false},
		{batch.Permanent(boom), batch.Return{Kind: batch.ReturnPermanent}, "permanent", true},
		{errors.Join(boom, batch.Snooze(time.Hour), batch.Permanent(boom)), batch.Return{Kind: batch.ReturnPermanent}, "permanent", true},
		{errors.Join(batch.RetryAfter(time.Minute, boom), batch.Snooze(time.Hour)), batch.Return{Kind: batch.ReturnSnooze, Delay: time.Hour}, "snooze", false},
		{batch.Unreadable(boom), batch.Return{Kind: batch.ReturnRetry}, "retry", true},
	} {
		got := batch.OutcomeOf(tt.err)
		if got != tt.want || got.Kind.String() != tt.text || got.Kind.Failed() != tt.failed {
			t.Errorf("OutcomeOf(%v) = %+v, %q, failed %v; want %+v, %q, %v", tt.err, got, got.Kind, got.Kind.Failed(), tt.want, tt.text, tt.failed)
		}
	}
	if batch.Unreadable(nil) != nil || batch.Permanent(nil) != nil {
		t.Error("Unreadable and Permanent of nil must be nil")
	}
}

// keyed is a codec whose key comes late.
type keyed struct {
	batch.JSON
	known *atomic.Bool
	err   error
}

func (c keyed) Decode(body []byte, args any) error {
	if !c.known.Load() {
		return c.err
	}
	return c.JSON.Decode(body, args)
}

// otherTask is a kind that the workers of these tests do not always know.
type otherTask struct{}

func (otherTask) Kind() string { return "other" }

// Old workers put a job back of a kind or body that they cannot deal with, whatever
// happened to it before, and a new one runs it with all of its attempts.
func TestDeployKillsNoJob(t *testing.T) {
	for name, isNew := range map[string]func(*deploy){
		"kind": func(d *deploy) { d.handles = true },
		"body": func(d *deploy) { d.known.Store(true) },
		"both": func(d *deploy) { d.known.Store(true); d.handles = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeploy(t, name != "kind", name == "body")
				for range 2 { // two old workers, for half an hour each
					w := d.start(t)
					time.Sleep(30 * time.Minute) // fake time
					d.stopWorker(t, w)
				}
				if left := depth(t, d.queue); left.Dead != 0 {
					t.Fatalf("left = %+v, want no dead letter", left)
				}
				bounces, first := d.last.Bounces, d.last.BouncedSince
				if bounces < 30 || d.last.Failures != 0 || time.Since(first) < 59*time.Minute {
					t.Errorf("put back %d times since %s with %d failures; want once a minute at least, since an hour ago, and none", bounces, first, d.last.Failures)
				}
				isNew(d)
				w := d.start(t)
				time.Sleep(2 * time.Minute) // no bounce delays the job for longer than a minute
				d.stopWorker(t, w)
				if d.runs.Load() != 1 || depth(t, d.queue) != (batch.Depth{}) {
					t.Errorf("%d runs, and left = %+v; want one run and nothing left", d.runs.Load(), depth(t, d.queue))
				}
			})
		})
	}
}

// deploy is a job with one attempt, and workers that can or cannot run it.
type deploy struct {
	*scripted
	queue   *batch.Queue[*scripted]
	known   atomic.Bool // the codec's key
	handles bool        // whether workers know the kind
	runs    atomic.Int64
	last    driver.Settlement
}

// newDeploy makes one with the job stored. The memory driver need not store bounces for it.
func newDeploy(t *testing.T, encrypted, handles bool) *deploy {
	d := &deploy{scripted: newScripted(), handles: handles}
	d.known.Store(!encrypted)
	d.onSettle = func(_ int, s []driver.Settlement) ([]error, bool) {
		d.last = s[0]
		return nil, false
	}
	d.onDelivery = func(delivery *driver.Delivery) {
		delivery.Bounces, delivery.BouncedSince = d.last.Bounces, d.last.BouncedSince
	}
	d.queue = batch.NewQueue(d.scripted, "tasks")
	if _, err := d.queue.Enqueue(t.Context(), otherTask{}, batch.MaxAttempts(d.queue, 1)); err != nil {
		t.Fatal(err)
	}
	return d
}

// start starts a worker.
func (d *deploy) start(t *testing.T) *batch.Worker {
	w := batch.NewWorker(d.scripted, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: "tasks"}}, Log: silent,
		Codecs: []batch.Codec{keyed{known: &d.known, err: fmt.Errorf("key 7: %w", batch.Unreadable(errors.New("unknown key")))}},
	})
	batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
	if d.handles {
		batch.Handle(w, func(context.Context, *batch.Job[otherTask]) error { d.runs.Add(1); return nil })
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// stopWorker stops a worker.
func (d *deploy) stopWorker(t *testing.T, w *batch.Worker) {
	if err := w.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// A job that no worker can run dies after the bound, which counts in time.
func TestBouncesAreBoundedInTime(t *testing.T) {
	for name, reason := range map[string]string{"kind": batch.ReasonUnknownKind, "body": batch.ReasonBodyUnavailable} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDeploy(t, name == "body", name == "body")
				w := d.start(t)
				time.Sleep(23 * time.Hour)
				if left := depth(t, d.queue); left.Dead != 0 {
					t.Errorf("dead before the bound: %+v", left)
				}
				time.Sleep(time.Hour + 2*time.Minute)
				d.stopWorker(t, w)
				page, _, err := d.queue.DeadLetters().List(t.Context(), "", 10)
				if err != nil || len(page) != 1 || page[0].Reason != reason || page[0].Failures != 0 || !strings.Contains(page[0].LastError, "put back") {
					t.Errorf("dead letters = %+v, %v; want one for %s that says how often it was put back", page, err, reason)
				}
			})
		})
	}
}

// What a codec can never decode is dead at once, even if the codec's error cannot be read.
func TestUndecodableIsDeadAtOnce(t *testing.T) {
	for name, failure := range map[string]error{"an error": errors.New("no such field"), "a nil error": (*fragile)(nil)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.Codecs = []batch.Codec{keyed{known: new(atomic.Bool), err: failure}} })
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
				r.enqueue(t, task{})
				r.start(t)
				if end := <-r.events.ended; end.Started || end.Verdict.Reason != batch.ReasonUndecodable || end.Verdict.Bounces != 0 {
					t.Errorf("ended as %+v, want dead at once", end)
				}
				r.stop(t)
			})
		})
	}
}
