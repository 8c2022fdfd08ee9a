package batch_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// spanKey is the key of the value that a spans hook puts into contexts.
type spanKey struct{}

// spans is a hook that gives each enqueue and each run of a job a context with its own name, and notes which names the
// contexts of the other events have.
type spans struct {
	name string

	mu   sync.Mutex // guards following
	seen []string
}

// spanOf are the names in a context.
func spanOf(ctx context.Context) string {
	names, _ := ctx.Value(spanKey{}).(string)
	return names
}

func (s *spans) note(ctx context.Context, event string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, event+" "+spanOf(ctx))
}

// take returns what was noted, and forgets it.
func (s *spans) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := s.seen
	s.seen = nil
	return seen
}

func (s *spans) OnEnqueueStart(ctx context.Context, e *batch.EnqueueStart) context.Context {
	if s.name == "" {
		return nil
	}
	return context.WithValue(ctx, spanKey{}, spanOf(ctx)+s.name+e.ID)
}

func (s *spans) OnEnqueueEnd(ctx context.Context, e batch.EnqueueEnd) { s.note(ctx, "end "+e.ID) }

func (s *spans) OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context {
	if s.name == "" {
		return nil
	}
	return context.WithValue(ctx, spanKey{}, spanOf(ctx)+s.name+job.ID)
}

func (s *spans) OnJobEnd(ctx context.Context, e batch.JobEnd) {
	if ctx.Err() != nil {
		ctx = context.Background() // is found missing
	}
	s.note(ctx, "job end")
}

func (s *spans) OnJobStuck(ctx context.Context, _ *batch.JobInfo, _ time.Duration) {
	s.note(ctx, "stuck")
}
func (s *spans) OnLeaseLost(ctx context.Context, _ batch.LeaseLost) { s.note(ctx, "lost") }

// spanLog is a log handler that adds the names in the context.
type spanLog struct{ slog.Handler }

func (h spanLog) Handle(ctx context.Context, r slog.Record) error {
	r.AddAttrs(slog.String("span", spanOf(ctx)))
	return h.Handler.Handle(ctx, r)
}

func (h spanLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return spanLog{h.Handler.WithAttrs(attrs)}
}

// The context that hooks return when an enqueue starts is that of its end, for each job its own.
func TestEnqueueContext(t *testing.T) {
	ctx := t.Context()
	last := &spans{name: "b:"}
	d := memory.New()
	q := batch.NewQueue(d, "tasks", batch.WithHooks(&spans{name: "a:"}, &spans{}), batch.WithHooks(last))
	job := func(id string) batch.Request[*memory.Driver] {
		return batch.Request[*memory.Driver]{Args: task{}, Options: []batch.Option[*memory.Driver]{batch.ID(q, id)}}
	}
	check := func(what string, err error, want ...string) {
		t.Helper()
		if seen := last.take(); err != nil || !slices.Equal(seen, want) {
			t.Errorf("%s: %v, the ends were seen with %q, want %q", what, err, seen, want)
		}
	}
	_, err := q.Enqueue(ctx, task{}, batch.ID(q, "1"))
	check("Enqueue", err, "end 1 a:1b:1")
	_, err = q.EnqueueMany(ctx, []batch.Request[*memory.Driver]{job("2"), job("3")})
	check("EnqueueMany", err, "end 2 a:2b:2", "end 3 a:3b:3")
	_, err = batch.EnqueueAtomic(ctx, q, []batch.Request[*memory.Driver]{job("4"), job("5")})
	check("EnqueueAtomic", err, "end 4 a:4b:4", "end 5 a:5b:5")
	if _, err = q.Enqueue(ctx, badArgs{}, batch.ID(q, "6")); err == nil {
		t.Error("args that do not encode were enqueued")
	}
	check("a refused Enqueue", nil, "end 6 a:6b:6")
}

// badArgs do not encode.
type badArgs struct{ C chan int }

func (badArgs) Kind() string { return "bad" }

// The context that hooks return when a job starts is that of middleware, handler, the other events, and the log.
func TestJobContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last, book := &spans{name: "b:"}, &logbook{}
		var inside []string
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
			c.Hooks = append(c.Hooks, &spans{name: "a:"}, &spans{}, last)
			c.Queues[0].Concurrency = 1
			c.Timeout, c.StuckAfter = time.Minute, time.Second
			c.Log = slog.New(spanLog{book.logger(slog.LevelDebug).Handler()})
			c.Middleware = []batch.Middleware{func(next batch.Handler) batch.Handler {
				return func(ctx context.Context, job *batch.JobInfo) error {
					inside = append(inside, "middleware "+spanOf(ctx))
					return next(ctx, job)
				}
			}}
		})
		release := make(chan struct{})
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error {
			inside = append(inside, "handler "+spanOf(ctx))
			switch job.ID {
			case "stuck":
				<-release
			case "slow":
				<-ctx.Done() // what a hook's context ends with is the job's
				return context.Cause(ctx)
			}
			return nil
		})
		r.start(t)
		for _, id := range []string{"quick", "slow", "stuck"} {
			r.enqueue(t, task{}, batch.ID(r.queue, id), batch.MaxAttempts(r.queue, 1))
			end := <-r.events.ended
			if id == "slow" && !errors.Is(end.Err, batch.ErrTimeout) {
				t.Errorf("the slow job ended with %v", end.Err)
			}
		}
		close(release)
		synctest.Wait()
		r.stop(t)
		if want := []string{
			"middleware a:quickb:quick", "handler a:quickb:quick", "middleware a:slowb:slow", "handler a:slowb:slow",
			"middleware a:stuckb:stuck", "handler a:stuckb:stuck",
		}; !slices.Equal(inside, want) {
			t.Errorf("inside: %q, want %q", inside, want)
		}
		if seen, want := last.take(), []string{"job end a:quickb:quick", "job end a:slowb:slow", "stuck a:stuckb:stuck", "job end a:stuckb:stuck"}; !slices.Equal(seen, want) {
			t.Errorf("events: %q, want %q", seen, want)
		}
		for _, line := range book.lines() {
			_, id, ofJob := strings.Cut(line, " id=")
			if id, _, _ = strings.Cut(id, " "); ofJob && !strings.HasSuffix(line, " span=a:"+id+"b:"+id) {
				t.Errorf("a line about job %s without its context: %s", id, line)
			}
		}
	})
}

// Values that would never be called as they are meant are refused, with the method that is wanted.
func TestHooksThatAreNone(t *testing.T) {
	for want, h := range map[string]batch.Hook{
		"must be a value that implements":                                        nil,
		"must be a value that has one of the methods OnEnqueueStart":             struct{}{},
		"with a method OnJobEnds: must be without methods that look like":        misspelt{},
		"whose method OnJobEnd is OnJobEnd(ctx context.Context, e batch.JobEnd)": oldForm{},
		"is OnJobStart(ctx context.Context, job *batch.JobInfo) context.Context": &noContext{},
		"must be a pointer, as its method OnFault has one as receiver":           byPointer{},
		"is OnWorkerState(ctx context.Context, s batch.WorkerStatus)":            stateOnly{},
	} {
		_, err := batch.TryNewQueue(memory.New(), "q", batch.WithHooks(&meter{}, h))
		if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "hook 2") {
			t.Errorf("WithHooks(%T): %v, want ErrInvalid about hook 2 with %q", h, err, want)
		}
		_, err = batch.TryNewWorker(memory.New(), batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "q"}}, Hooks: []batch.Hook{h}})
		if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("Hooks: %T: %v, want ErrInvalid with %q", h, err, want)
		}
	}
	if _, err := batch.TryNewQueue(memory.New(), "q", batch.WithHooks(onlyOnce{}, &byPointer{})); err != nil {
		t.Errorf("hooks with all that they need: %v", err)
	}
}

type (
	misspelt  struct{}
	oldForm   struct{}
	noContext struct{ meter }
	byPointer struct{}
	stateOnly struct{}
	onlyOnce  struct{}
)

func (misspelt) OnJobEnds(context.Context, batch.JobEnd)           {}
func (misspelt) OnFault(context.Context, batch.Fault)              {}
func (oldForm) OnJobEnd(batch.JobEnd)                              {}
func (*noContext) OnJobStart(context.Context, *batch.JobInfo)      {}
func (*byPointer) OnFault(context.Context, batch.Fault)            {}
func (stateOnly) OnWorkerState(context.Context, batch.WorkerState) {}
func (onlyOnce) OnFault(context.Context, batch.Fault)              {}
func (onlyOnce) Only()                                             {}
func (onlyOnce) Once()                                             {}
func (onlyOnce) On()                                               {}

// calls is a hook that notes the calls to the driver.
type calls struct {
	mu   sync.Mutex // guards following
	seen []batch.Call
}

func (c *calls) OnCall(_ context.Context, call batch.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, call)
}

// find returns the calls of one kind.
func (c *calls) find(op batch.Op) []batch.Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	var found []batch.Call
	for _, call := range c.seen {
		if call.Op == op {
			found = append(found, call)
		}
	}
	return found
}

// Each call to the driver is told, with its error and how long it took.
func TestCallHook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, c := newScripted(), &calls{}
		d.slowSettle = time.Second
		d.onSettle = func(n int, s []driver.Settlement) ([]error, bool) {
			if n == 1 {
				return sameError(s, unavailable(driver.FateNotStored)), false
			}
			return nil, false
		}
		r := newRig(t, d, func(w *batch.WorkerConfig) {
			w.Hooks = append(w.Hooks, c)
			w.Queues[0].Lease = 3 * time.Second
		})
		q := batch.NewQueue(d, "tasks", batch.WithHooks(c))
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { time.Sleep(2 * time.Second); return nil })
		ctx := t.Context()
		if _, err := q.EnqueueMany(ctx, []batch.Request[*scripted]{{Args: task{1}}, {Args: task{2}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Depth(ctx); err != nil {
			t.Fatal(err)
		}
		if err := batch.Pause(ctx, q); err != nil {
			t.Fatal(err)
		}
		if err := batch.Resume(ctx, q); err != nil {
			t.Fatal(err)
		}
		if _, _, err := batch.ListJobs(ctx, q, batch.StateWaiting, "", 10); err != nil {
			t.Fatal(err)
		}
		if _, err := batch.FindJob(ctx, q, "none"); !errors.Is(err, batch.ErrNotFound) {
			t.Fatal(err)
		}
		if _, _, err := q.DeadLetters().List(ctx, "", 10); err != nil {
			t.Fatal(err)
		}
		r.start(t)
		<-r.events.ended
		<-r.events.ended
		time.Sleep(5 * time.Second)
		r.stop(t)
		if err := q.Delete(ctx); err != nil {
			t.Fatal(err)
		}
		for op, jobs := range map[batch.Op]int{
			batch.OpDeclare: 0, batch.OpEnqueue: 1, batch.OpDepth: 0, batch.OpPause: 0, batch.OpResume: 0, batch.OpList: 2, batch.OpFind: 0,
			batch.OpDeadLetters: 0, batch.OpConsume: 0, batch.OpReceive: 2, batch.OpExtend: 2, batch.OpSettle: 1, batch.OpClose: 0, batch.OpDeleteQueue: 0,
		} {
			found := c.find(op)
			if len(found) == 0 || found[0].Queue != "tasks" || found[0].Jobs < jobs || jobs == 0 && found[0].Jobs > 0 {
				t.Errorf("calls to %s: %+v, want one at least, on the queue, about %d jobs", op, found, jobs)
			}
		}
		if settles := c.find(batch.OpSettle); len(settles) < 2 || !errors.Is(settles[0].Err, batch.ErrUnavailable) || settles[0].Duration != 0 ||
			settles[1].Err != nil || settles[1].Duration != time.Second {
			t.Errorf("settlements: %+v, want one that failed at once, and one that took a second", settles)
		}
		if find := c.find(batch.OpFind); !errors.Is(find[0].Err, batch.ErrNotFound) {
			t.Errorf("find: %+v", find)
		}
	})
}

// states notes the states of a worker.
type states struct {
	mu   sync.Mutex // guards following
	seen []batch.WorkerStatus
}

func (s *states) OnWorkerState(_ context.Context, status batch.WorkerStatus) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, status)
}

// A worker's states come with its broker and its queues, and with how many jobs it gave back.
func TestWorkerStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, d := &states{}, memory.New()
		r := newRig(t, d, func(c *batch.WorkerConfig) {
			c.Hooks = append(c.Hooks, s)
			c.Queues[0].Concurrency, c.Queues[0].Prefetch = 1, 1
			c.CancelTimeout = time.Second
		})
		release := make(chan struct{})
		batch.Handle(r.worker, func(ctx context.Context, job *batch.Job[task]) error { <-release; return nil })
		for n := range 3 {
			r.enqueue(t, task{n})
		}
		r.start(t)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.worker.Stop(ctx) // that jobs were cancelled is not what this is about
		close(release)
		synctest.Wait()
		if len(s.seen) != 3 {
			t.Fatalf("states: %+v, want three", s.seen)
		}
		for i, status := range s.seen {
			want := batch.WorkerStatus{State: batch.WorkerState(i + 1), Broker: d.Info()}
			if i == 2 {
				want.GivenBack = len(r.events.ended)
			}
			if status.State != want.State || status.Broker != want.Broker || status.GivenBack != want.GivenBack ||
				len(status.Queues) != 1 || status.Queues[0].Name != "tasks" || status.Queues[0].Lease == 0 {
				t.Errorf("status %d: %+v, want %+v and the queue with its defaults", i+1, status, want)
			}
		}
		if n := s.seen[2].GivenBack; n < 2 || n > 3 {
			t.Errorf("%d jobs were given back, want the one that ran and what was prefetched", n)
		}
	})
}

// nilMap panics if it is written to.
var nilMap map[string]int

// A panic's place is in the error that is kept with the job, wherever in the application it was.
func TestPanicPlace(t *testing.T) {
	for name, tt := range map[string]struct {
		do    func()
		place string
	}{
		"explicit":      {func() { panic("boom") }, `hooks_test.go:`},
		"nil map":       {func() { nilMap["x"]++ }, `hooks_test.go:`},
		"in a library":  {func() { _ = strings.Repeat("x", -1) }, `hooks_test.go:`},
		"in a callback": {func() { slices.SortFunc([]int{2, 1}, func(a, b int) int { panic("boom") }) }, `hooks_test.go:`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.MaxAttempts = 1 })
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { tt.do(); return nil })
				r.enqueue(t, task{})
				r.start(t)
				end := <-r.events.ended
				r.stop(t)
				var panicked *batch.PanicError
				page, _, err := r.queue.DeadLetters().List(t.Context(), "", 1)
				if !errors.As(end.Err, &panicked) || !strings.Contains(panicked.Place, tt.place) || err != nil || len(page) != 1 || !strings.Contains(page[0].LastError, panicked.Place+": ") {
					t.Errorf("ended with %v, and kept as %+v, %v; want a place in %s", end.Err, page, err, tt.place)
				}
			})
		})
	}
}

// panicking is a hook that panics, of a type of its own: panics of one type are not logged again for a while.
type panicking struct{}

func (panicking) OnJobEnd(context.Context, batch.JobEnd) { panic("in OnJobEnd") }

// hookPanicRuns counts the runs of TestHookPanicIsLogged.
var hookPanicRuns atomic.Int64

// A hook's panic is in the log of its worker, with its place.
func TestHookPanicIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Fake time begins anew each time, and the same panic is not logged again for a while.
		time.Sleep(time.Duration(hookPanicRuns.Add(1)) * time.Minute)
		book := &logbook{}
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
			c.Hooks = append(c.Hooks, panicking{})
			c.Log = book.logger(slog.LevelError)
		})
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.enqueue(t, task{})
		r.start(t)
		<-r.events.ended
		r.stop(t)
		matchLines(t, book.lines(), `t=0s level=ERROR msg="a hook panicked" hook=batch_test.panicking.OnJobEnd panic="in OnJobEnd" place=\S*hooks_test.go:\d+ stack=.*`)
	})
}
