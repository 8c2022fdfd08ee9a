package batch_test

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

func init() {
	driver.Register(driver.Registration{
		Name: "portable", Schemes: []string{"portable"},
		Open:  func(context.Context, *url.URL) (driver.Driver, error) { return memory.NewPortable(), nil },
		Types: []driver.Driver{(*memory.Portable)(nil)},
	})
}

// broker is what an application relies on.
type broker interface {
	batch.Prioritizer
	batch.Delayer
}

func TestOpen(t *testing.T) {
	d, err := batch.Open[broker](t.Context(), "memory://")
	if err != nil {
		t.Fatal(err)
	}
	q := batch.NewQueue(d, "tasks")
	if _, err := q.Enqueue(t.Context(), task{}, batch.Priority(q, batch.High)); err != nil {
		t.Error(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Error(err)
	}

	_, err = batch.Open[broker](t.Context(), "portable://")
	var lacking *batch.CapabilityError
	if !errors.As(err, &lacking) || !errors.Is(err, batch.ErrCapability) || !slices.Equal(lacking.Missing, []string{"Prioritizer", "Delayer"}) {
		t.Fatalf("Open = %v, want a CapabilityError for both", err)
	}
	for _, words := range []string{"lacks Prioritizer", "Delayer", "supported by: memory"} {
		if !strings.Contains(err.Error(), words) {
			t.Errorf("the error %q does not say %q", err, words)
		}
	}

	for _, bad := range []string{"", "nosuch://x", "memory://?nosuch=1", "memory://?max_jobs=many", "://", "nosuch://user:secret@host\x7f", "memory://user:secret/x@host"} {
		_, err := batch.Open[batch.Driver](t.Context(), bad)
		if !errors.Is(err, batch.ErrConfig) {
			t.Errorf("Open(%q) = %v, want ErrConfig", bad, err)
			continue
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("Open(%q) repeats the password: %v", bad, err)
		}
	}
}

func TestCapabilities(t *testing.T) {
	want := []string{"Prioritizer", "Delayer", "Deduplicator", "Grouper", "AtomicEnqueuer", "Inspector", "Pauser", "Importer", "QueueLister", "Purger", "TxEnqueuer"}
	if got := batch.Capabilities(memory.New()); !slices.Equal(got, want) {
		t.Errorf("memory has %v, want all", got)
	}
	if got := batch.Capabilities(memory.NewPortable()); len(got) != 0 {
		t.Errorf("portable has %v, want none", got)
	}
}

// A programming error panics with the package's prefix, and has a twin that
// returns it.
func TestRegistrationMistakes(t *testing.T) {
	d := memory.New()
	config := func(change func(*batch.WorkerConfig)) batch.WorkerConfig {
		c := batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "tasks"}}}
		change(&c)
		return c
	}
	worker := func() *batch.Worker { return batch.NewWorker(d, config(func(*batch.WorkerConfig) {})) }
	handler := func(context.Context, *batch.Job[task]) error { return nil }
	twice := worker()
	batch.Handle(twice, handler)
	stopped := worker()
	if err := stopped.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	newQueue := func(d batch.Driver, name string, o ...batch.QueueOption) [2]func() error {
		return [2]func() error{
			func() error { _, err := batch.TryNewQueue(d, name, o...); return err },
			func() error { batch.NewQueue(d, name, o...); return nil },
		}
	}
	newWorker := func(d batch.Driver, change func(*batch.WorkerConfig)) [2]func() error {
		return [2]func() error{
			func() error { _, err := batch.TryNewWorker(d, config(change)); return err },
			func() error { batch.NewWorker(d, config(change)); return nil },
		}
	}
	none := func(*batch.WorkerConfig) {}
	tests := map[string][2]func() error{
		"nil driver":         newQueue(nil, "tasks"),
		"nil driver pointer": newQueue((*memory.Driver)(nil), "tasks"),
		"empty queue name":   newQueue(d, ""),
		"queue name":         newQueue(d, "a/b"),
		"long queue name":    newQueue(d, strings.Repeat("x", 65)),
		"nil codec":          newQueue(d, "tasks", batch.WithCodec(nil)),
		"enqueue timeout":    newQueue(d, "tasks", batch.WithEnqueueTimeout(-1)),
		"hook of no moment":  newQueue(d, "tasks", batch.WithHooks(42)),
		"zero queue option":  newQueue(d, "tasks", batch.QueueOption{}),

		"worker's nil driver":  newWorker(nil, none),
		"no queues":            newWorker(d, func(c *batch.WorkerConfig) { c.Queues = nil }),
		"a queue twice":        newWorker(d, func(c *batch.WorkerConfig) { c.Queues = append(c.Queues, c.Queues[0]) }),
		"worker's queue name":  newWorker(d, func(c *batch.WorkerConfig) { c.Queues[0].Name = "" }),
		"negative concurrency": newWorker(d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency = -1 }),
		"concurrency":          newWorker(d, func(c *batch.WorkerConfig) { c.Queues[0].Concurrency = 10_001 }),
		"prefetch":             newWorker(d, func(c *batch.WorkerConfig) { c.Queues[0].Prefetch = -2 }),
		"negative lease":       newWorker(d, func(c *batch.WorkerConfig) { c.Queues[0].Lease = -1 }),
		"short lease":          newWorker(d, func(c *batch.WorkerConfig) { c.Queues[0].Lease = 1 }),
		"negative timeout":     newWorker(d, func(c *batch.WorkerConfig) { c.Timeout = -1 }),
		"negative stop":        newWorker(d, func(c *batch.WorkerConfig) { c.StopTimeout = -1 }),
		"start without end":    newWorker(d, func(c *batch.WorkerConfig) { c.StartTimeout = 25 * 3600e9 }),
		"max attempts":         newWorker(d, func(c *batch.WorkerConfig) { c.MaxAttempts = -1 }),
		"max redeliveries":     newWorker(d, func(c *batch.WorkerConfig) { c.MaxRedeliveries = 1001 }),
		"worker's nil codec":   newWorker(d, func(c *batch.WorkerConfig) { c.Codecs = []batch.Codec{nil} }),
		"two codecs":           newWorker(d, func(c *batch.WorkerConfig) { c.Codecs = []batch.Codec{batch.JSON{}, batch.JSON{}} }),
		"nil middleware":       newWorker(d, func(c *batch.WorkerConfig) { c.Middleware = []batch.Middleware{nil} }),
		"worker's hook":        newWorker(d, func(c *batch.WorkerConfig) { c.Hooks = []batch.Hook{"log"} }),

		"nil handler": {
			func() error { return batch.TryHandle[task](worker(), nil) },
			func() error { batch.Handle[task](worker(), nil); return nil },
		},
		"two handlers": {
			func() error { return batch.TryHandle(twice, handler) },
			func() error { batch.Handle(twice, handler); return nil },
		},
		"handler of an interface": {
			func() error {
				return batch.TryHandle(worker(), func(context.Context, *batch.Job[batch.Args]) error { return nil })
			},
			func() error {
				batch.Handle(worker(), func(context.Context, *batch.Job[batch.Args]) error { return nil })
				return nil
			},
		},
		"handler of an invalid kind": {
			func() error {
				return batch.TryHandle(worker(), func(context.Context, *batch.Job[hostile]) error { return nil })
			},
			func() error {
				batch.Handle(worker(), func(context.Context, *batch.Job[hostile]) error { return nil })
				return nil
			},
		},
		"handler's retry policy": {
			func() error { return batch.TryHandle(worker(), handler, batch.HandleRetry(nil)) },
			func() error { batch.Handle(worker(), handler, batch.HandleRetry(nil)); return nil },
		},
		"handler's timeout": {
			func() error { return batch.TryHandle(worker(), handler, batch.HandleTimeout(-1)) },
			func() error { batch.Handle(worker(), handler, batch.HandleTimeout(-1)); return nil },
		},
		"handler's attempts": {
			func() error { return batch.TryHandle(worker(), handler, batch.HandleMaxAttempts(0)) },
			func() error { batch.Handle(worker(), handler, batch.HandleMaxAttempts(0)); return nil },
		},
	}
	for name, twins := range tests {
		t.Run(name, func(t *testing.T) {
			err := twins[0]()
			var bad *batch.InvalidError
			if !errors.As(err, &bad) || bad.Field == "" || bad.Bound == "" || !strings.HasPrefix(err.Error(), "batch: ") {
				t.Errorf("the twin returned %v, want an InvalidError with its field and bound", err)
			}
			defer func() {
				if text, _ := recover().(string); text != err.Error() {
					t.Errorf("panic %q, want %q", text, err)
				}
			}()
			_ = twins[1]()
		})
	}
	if err := batch.TryHandle(stopped, handler); !errors.Is(err, batch.ErrStarted) {
		t.Errorf("a handler for a worker that is stopped: %v, want ErrStarted", err)
	}
}

// What is said of a Prefetch that is out of bounds names all that it may be.
func TestPrefetchOutOfBounds(t *testing.T) {
	for _, n := range []int{-2, 10_001} {
		_, err := batch.TryNewWorker(memory.New(), batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "tasks", Prefetch: n}}})
		if want := "must be 1 to 10000, NoPrefetch for none, or unset"; err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("Prefetch %d: %v, want an error that ends with %q", n, err, want)
		}
	}
}
