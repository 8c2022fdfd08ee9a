package memory

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// calls is every method of a handle and its consumer that can fail.
func calls(r *rig, ctx context.Context, queue string) map[string]func() error {
	d := r.d
	one := []*driver.Message{message("x")}
	return map[string]func() error{
		"Declare":       func() error { return d.Declare(ctx, queue) },
		"DeleteQueue":   func() error { return d.DeleteQueue(ctx, queue) },
		"Enqueue":       func() error { return d.Enqueue(ctx, queue, one)[0].Err },
		"EnqueueAtomic": func() error { return d.EnqueueAtomic(ctx, queue, one) },
		"Consume": func() error {
			_, err := d.Consume(ctx, queue, driver.ConsumeOptions{Lease: time.Second})
			return err
		},
		"Depth":       func() error { _, err := d.Depth(ctx, queue); return err },
		"DeadLetters": func() error { _, _, err := d.DeadLetters(ctx, queue, "", 1); return err },
		"Redrive":     func() error { _, err := d.Redrive(ctx, queue, driver.Selection{All: true}); return err },
		"Discard":     func() error { _, err := d.Discard(ctx, queue, driver.Selection{IDs: []string{"x"}}); return err },
		"List":        func() error { _, _, err := d.List(ctx, queue, driver.StateWaiting, "", 1); return err },
		"Find":        func() error { _, err := d.Find(ctx, queue, "x"); return err },
		"Delete":      func() error { return d.Delete(ctx, queue, "x") },
		"Pause":       func() error { return d.Pause(ctx, queue) },
		"Resume":      func() error { return d.Resume(ctx, queue) },
		"Paused":      func() error { _, err := d.Paused(ctx, queue); return err },
	}
}

func TestErrorsOfEveryMethod(t *testing.T) {
	open := func(t *testing.T) *rig { return newRig(t, Options{}) }
	closed := func(t *testing.T) *rig {
		r := open(t)
		r.ok(r.d.Close(t.Context()))
		r.ok(r.d.Close(t.Context()))
		return r
	}
	crashed := func(t *testing.T) *rig {
		r := open(t)
		r.d.Broker().Crash()
		return r
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for name, x := range map[string]struct {
		open  func(*testing.T) *rig
		ctx   context.Context
		queue string
		want  error
	}{
		"closed":             {closed, context.Background(), "q", driver.ErrClosed},
		"closed, no queue":   {closed, context.Background(), "none", driver.ErrClosed},
		"crashed":            {crashed, context.Background(), "q", driver.ErrUnavailable},
		"ctx ended":          {open, ended, "q", context.Canceled},
		"queue not declared": {open, context.Background(), "none", driver.ErrNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			r := x.open(t)
			for method, call := range calls(r, x.ctx, x.queue) {
				if x.want == driver.ErrNotFound && (method == "Declare" || method == "DeleteQueue") {
					continue // they are for queues that do not exist
				}
				err := call()
				if !errors.Is(err, x.want) || driver.FateOf(err) != driver.FateNotStored {
					t.Errorf("%s: %v, want %v", method, err, x.want)
				}
			}
			if x.queue != "q" {
				return
			}
			one := []*driver.Delivery{{}}
			for method, err := range map[string]error{
				"Settle": r.c.Settle(x.ctx, []driver.Settlement{{Delivery: one[0], Outcome: driver.OutcomeDone}})[0],
				"Extend": r.c.Extend(x.ctx, one)[0],
			} {
				if !errors.Is(err, x.want) || driver.FateOf(err) != driver.FateNotStored {
					t.Errorf("%s: %v, want %v", method, err, x.want)
				}
			}
			if _, err := r.c.Receive(x.ctx, 1); !errors.Is(err, x.want) {
				t.Errorf("Receive: %v, want %v", err, x.want)
			}
		})
	}
}

func TestNoOps(t *testing.T) {
	r := newRig(t, Options{})
	r.ok(r.d.Declare(t.Context(), "q"))
	if r.d.Enqueue(t.Context(), "q", nil) != nil || r.c.Settle(t.Context(), nil) != nil || r.c.Extend(t.Context(), nil) != nil {
		t.Fatal("a call with nothing to do has results")
	}
	for _, do := range []func(context.Context, string, driver.Selection) (int, error){r.d.Redrive, r.d.Discard} {
		if n, err := do(t.Context(), "q", driver.Selection{}); n != 0 || err != nil {
			t.Fatal(n, err)
		}
	}
	r.ok(r.d.DeleteQueue(t.Context(), "none"))
}
