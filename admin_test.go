package batch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// need is a call of a QueueAdmin that needs a capability.
type need struct {
	name, capability string
	call             func(context.Context, *batch.QueueAdmin) error
}

// needs are all of them. The job that they look for is called "job".
var needs = []need{
	{"ListJobs", "Inspector", func(ctx context.Context, a *batch.QueueAdmin) error {
		_, _, err := a.ListJobs(ctx, batch.StateWaiting, "", 10)
		return err
	}},
	{"FindJob", "Inspector", func(ctx context.Context, a *batch.QueueAdmin) error { _, err := a.FindJob(ctx, "job"); return err }},
	{"DeleteJob", "Inspector", func(ctx context.Context, a *batch.QueueAdmin) error { return a.DeleteJob(ctx, "job") }},
	{"Pause", "Pauser", func(ctx context.Context, a *batch.QueueAdmin) error { return a.Pause(ctx) }},
	{"Resume", "Pauser", func(ctx context.Context, a *batch.QueueAdmin) error { return a.Resume(ctx) }},
	{"Import", "Importer", func(ctx context.Context, a *batch.QueueAdmin) error {
		_, err := a.Import(ctx, []batch.Entry{{State: batch.StateWaiting, Message: driver.Message{
			ID: "imported", Kind: "task", ContentType: "application/json", EnqueuedAt: time.Now(),
		}}})
		return err
	}},
	{"RedriveWithBody", "Importer", func(ctx context.Context, a *batch.QueueAdmin) error {
		err := a.RedriveWithBody(ctx, batch.DeadLetter{Message: driver.Message{
			ID: "dead", Kind: "task", ContentType: "application/json", EnqueuedAt: time.Now(),
		}}, nil)
		if err != nil && strings.Contains(err.Error(), "its dead letter was gone") {
			return nil // there is no such dead letter
		}
		return err
	}},
	{"Purge", "Purger", func(ctx context.Context, a *batch.QueueAdmin) error { _, err := a.Purge(ctx); return err }},
	{"Paused", "Pauser", func(ctx context.Context, a *batch.QueueAdmin) error { _, err := a.Paused(ctx); return err }},
}

// admin is the handle on a queue for a tool.
func admin(t *testing.T, d batch.Driver, queue string) *batch.QueueAdmin {
	t.Helper()
	a, err := batch.Admin(d, queue)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// A tool is told what the broker lacks, before it asks the broker and if it does.
func TestAdminSaysWhatTheBrokerLacks(t *testing.T) {
	for _, d := range []batch.Driver{memory.New(), plain{memory.NewPortable()}} {
		if _, err := batch.NewQueue(d, "tasks").Enqueue(t.Context(), task{}, batch.ID(batch.NewQueue(d, "tasks"), "job")); err != nil {
			t.Fatal(err)
		}
		a := admin(t, d, "tasks")
		can := map[string]bool{"Inspector": a.CanInspect(), "Pauser": a.CanPause(), "Importer": a.CanImport(), "Purger": a.CanPurge()}
		for _, n := range needs {
			has := slices.Contains(batch.Capabilities(d), n.capability)
			if can[n.capability] != has {
				t.Errorf("%T: a tool is told %v of %s, want %v", d, can[n.capability], n.capability, has)
			}
			err := n.call(t.Context(), a)
			if has {
				if err != nil {
					t.Errorf("%T: %s: %v", d, n.name, err)
				}
				continue
			}
			var lacks *batch.CapabilityError
			if !errors.As(err, &lacks) || !errors.Is(err, batch.ErrCapability) || lacks.Driver != "plain" || !slices.Equal(lacks.Missing, []string{n.capability}) {
				t.Errorf("%T: %s: %v, want a CapabilityError that names %s", d, n.name, err, n.capability)
			}
		}
	}
}

// A tool finds the queues where the broker tells.
func TestAdminQueues(t *testing.T) {
	d := memory.New()
	if err := d.Declare(t.Context(), "tasks"); err != nil {
		t.Fatal(err)
	}
	if names, err := batch.AdminQueues(t.Context(), d); err != nil || !slices.Equal(names, []string{"tasks"}) {
		t.Errorf("AdminQueues = %q, %v", names, err)
	}
	_, err := batch.AdminQueues(t.Context(), plain{memory.NewPortable()})
	var lacks *batch.CapabilityError
	if !errors.As(err, &lacks) || !slices.Equal(lacks.Missing, []string{"QueueLister"}) {
		t.Errorf("AdminQueues on a driver without = %v, want a CapabilityError", err)
	}
	if _, err := batch.AdminQueues(t.Context(), nil); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("AdminQueues without a driver = %v, want ErrInvalid", err)
	}
}

// What every broker can do needs no question, and no call makes a queue.
func TestAdminDeclaresNothing(t *testing.T) {
	d := newScripted()
	a := admin(t, d, "tasks")
	for _, n := range append(needs,
		need{name: "Depth", call: func(ctx context.Context, a *batch.QueueAdmin) error { _, err := a.Depth(ctx); return err }},
		need{name: "DeadLetters", call: func(ctx context.Context, a *batch.QueueAdmin) error {
			_, _, err := a.DeadLetters().List(ctx, "", 10)
			return err
		}},
		need{name: "Purge", call: func(ctx context.Context, a *batch.QueueAdmin) error {
			_, err := a.DeadLetters().Purge(ctx)
			return err
		}},
	) {
		if err := n.call(t.Context(), a); !errors.Is(err, batch.ErrNotFound) {
			t.Errorf("%s on a queue that does not exist: %v, want ErrNotFound", n.name, err)
		}
	}
	if there, err := a.Exists(t.Context()); there || err != nil {
		t.Errorf("Exists = %v, %v", there, err)
	}
	if err := a.Delete(t.Context()); err != nil {
		t.Errorf("Delete of a queue that does not exist: %v", err)
	}
	if d.declares != 0 {
		t.Errorf("the queue was declared %d times", d.declares)
	}
	q := batch.NewQueue(d, "tasks")
	if _, err := q.Enqueue(t.Context(), task{}); err != nil {
		t.Fatal(err)
	}
	if there, err := a.Exists(t.Context()); !there || err != nil {
		t.Errorf("Exists = %v, %v", there, err)
	}
	if got, err := a.Depth(t.Context()); err != nil || got.Waiting != 1 {
		t.Errorf("Depth = %+v, %v", got, err)
	}
	if err := a.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if there, err := q.Exists(t.Context()); there || err != nil {
		t.Errorf("after Delete Exists = %v, %v", there, err)
	}
	if a.Name() != "tasks" || a.Driver() != batch.Driver(d) {
		t.Errorf("the handle is on %s of %T", a.Name(), a.Driver())
	}
}

func TestAdminRefusesBadInput(t *testing.T) {
	d := memory.New()
	var none *memory.Driver
	for _, bad := range []struct {
		driver batch.Driver
		queue  string
	}{{nil, "tasks"}, {none, "tasks"}, {d, ""}, {d, "a b"}} {
		if a, err := batch.Admin(bad.driver, bad.queue); a != nil || !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("Admin(%v, %q) = %v, %v, want ErrInvalid", bad.driver, bad.queue, a, err)
		}
	}
	a := admin(t, d, "tasks")
	if _, _, err := a.ListJobs(t.Context(), driver.State(9), "", 10); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("a state that does not exist: %v", err)
	}
	if _, _, err := a.ListJobs(t.Context(), batch.StateDead, "", 1001); !errors.Is(err, batch.ErrInvalid) {
		t.Errorf("a page that is too long: %v", err)
	}
}
