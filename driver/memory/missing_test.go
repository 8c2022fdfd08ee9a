package memory

import (
	"testing"

	"github.com/batch-go/batch/driver"
)

// No call but Declare makes a queue.
func TestMissingQueue(t *testing.T) {
	r := newRig(t, Options{})
	r.ok(r.d.DeleteQueue(t.Context(), "q"))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"enqueue":        func() error { return r.d.Enqueue(ctx, "q", []*driver.Message{message("a")})[0].Err },
		"enqueue atomic": func() error { return r.d.EnqueueAtomic(ctx, "q", []*driver.Message{message("a")}) },
		"import": func() error {
			return r.d.Import(ctx, "q", []*driver.Entry{entry("a", driver.StateWaiting)})[0].Err
		},
		"depth":   func() error { _, err := r.d.Depth(ctx, "q"); return err },
		"letters": func() error { _, _, err := r.d.DeadLetters(ctx, "q", "", 1); return err },
		"redrive": func() error { _, err := r.d.Redrive(ctx, "q", driver.Selection{All: true}); return err },
		"discard": func() error { _, err := r.d.Discard(ctx, "q", driver.Selection{IDs: []string{"a"}}); return err },
		"list":    func() error { _, _, err := r.d.List(ctx, "q", driver.StateWaiting, "", 1); return err },
		"find":    func() error { _, err := r.d.Find(ctx, "q", "a"); return err },
		"delete":  func() error { return r.d.Delete(ctx, "q", "a") },
		"purge":   func() error { _, err := r.d.Purge(ctx, "q"); return err },
		"pause":   func() error { return r.d.Pause(ctx, "q") },
		"resume":  func() error { return r.d.Resume(ctx, "q") },
		"paused":  func() error { _, err := r.d.Paused(ctx, "q"); return err },
		"consume": func() error { _, err := r.d.Consume(ctx, "q", driver.ConsumeOptions{Lease: testLease}); return err },
		"receive": func() error { _, err := r.c.Receive(ctx, 1); return err },
	} {
		err := call()
		r.is(err, driver.ErrNotFound)
		if want := "on queue q: not found: the queue does not exist"; len(err.Error()) < len(want) || err.Error()[len(err.Error())-len(want):] != want {
			if name != "receive" { // which says that the subscription is gone
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if names, err := r.d.ListQueues(ctx); err != nil || len(names) != 0 {
		t.Errorf("there are queues: %v, %v", names, err)
	}
	r.ok(r.d.DeleteQueue(ctx, "q"))
}
