package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// named is a hook that writes its name down when a job starts, and with each call.
type named struct {
	name string
	log  *names
}

func (n named) OnJobStart(ctx context.Context, _ *batch.JobInfo) context.Context {
	n.log.add(n.name)
	return context.WithValue(ctx, spanKey{}, spanOf(ctx)+n.name)
}

func (n named) OnCall(_ context.Context, c batch.Call) { n.log.add(n.name + " " + string(c.Op)) }

// names are written down in their order.
type names struct {
	mu  sync.Mutex // guards following
	all []string
}

func (l *names) add(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, name)
}

// contextLog writes down the names that are in the context of a line.
type contextLog struct {
	slog.Handler
	log *names
}

func (h contextLog) Enabled(context.Context, slog.Level) bool { return true }

func (h contextLog) Handle(ctx context.Context, r slog.Record) error {
	if r.Message == "job started" {
		h.log.add("log " + spanOf(ctx))
	}
	return nil
}

func TestAddHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log names
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
			c.Hooks, c.Log = []batch.Hook{named{"a", &log}}, slog.New(contextLog{slog.DiscardHandler, &log})
		})
		if err := r.worker.AddHooks(named{"b", &log}, named{"c", &log}); err != nil {
			t.Fatal(err)
		}
		if err := r.worker.AddHooks(named{"d", &log}); err != nil {
			t.Fatal(err)
		}
		if err := r.worker.AddHooks(named{"e", &log}, "no hook"); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("a hook that is none: %v", err)
		}
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{1})
		r.start(t)
		synctest.Wait()
		if err := r.worker.AddHooks(named{"f", &log}); !errors.Is(err, batch.ErrStarted) {
			t.Errorf("after the start: %v", err)
		}
		r.stop(t)
		if err := r.worker.AddHooks(named{"f", &log}); !errors.Is(err, batch.ErrStopped) {
			t.Errorf("after the stop: %v", err)
		}
		starts := slices.DeleteFunc(slices.Clone(log.all), func(s string) bool { return strings.Contains(s, " ") && !strings.HasPrefix(s, "log") })
		if got := strings.Join(starts, ", "); got != "a, b, c, d, log abcd" {
			t.Errorf("the hooks were called in the order %s", got)
		}
		for _, name := range []string{"a", "b", "c", "d"} {
			if n := len(slices.DeleteFunc(slices.Clone(log.all), func(s string) bool { return s != name+" consume" })); n != 1 {
				t.Errorf("hook %s was told of %d calls of Consume, want one", name, n)
			}
		}
	})
}

// A job that is made by hand is like one that was decoded.
func TestNewJob(t *testing.T) {
	job := batch.NewJob(batch.JobInfo{ID: "1", Attempt: 2}, task{7})
	if job.ID != "1" || job.Attempt != 2 || job.Args.N != 7 || job.DecodedArgs() != batch.Args(task{7}) {
		t.Errorf("the job is %+v", job)
	}
}

func TestCodecOfAQueue(t *testing.T) {
	d := memory.New()
	if c := batch.NewQueue(d, "tasks").Codec(); c != (batch.JSON{}) {
		t.Errorf("the codec is %T", c)
	}
	if c := batch.NewQueue(d, "tasks", batch.WithCodec(other{})).Codec(); c != (other{}) {
		t.Errorf("the codec is %T", c)
	}
}

type other struct{ batch.JSON }
