package batch_test

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// blocked is a hook that does not return from one of its methods before it may.
type blocked struct {
	at   string
	gate chan struct{}
}

func (h *blocked) act(at string) {
	if h.at == at {
		<-h.gate
	}
}

func (h *blocked) OnJobStart(context.Context, *batch.JobInfo) context.Context {
	h.act("job start")
	return nil
}
func (h *blocked) OnJobEnd(context.Context, batch.JobEnd)       { h.act("job end") }
func (h *blocked) OnFault(context.Context, batch.Fault)         { h.act("fault") }
func (h *blocked) OnCall(_ context.Context, c batch.Call)       { h.act("call " + string(c.Op)) }
func (h *blocked) OnLeaseLost(context.Context, batch.LeaseLost) { h.act("lease lost") }
func (h *blocked) OnSuspect(context.Context, batch.Suspect)     { h.act("suspect") }

// A stop ends within its total whatever of the application hangs, and says that a job was not settled.
func TestStopWhileTheApplicationHangs(t *testing.T) {
	for _, at := range []string{"decode", "policy", "job start", "job end", "call receive", "call settle", "call stop", "call close", "call extend"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &blocked{at: at, gate: make(chan struct{})}
				defer func() { close(h.gate); time.Sleep(time.Hour) }()
				r := newRig(t, memory.New(), func(c *batch.WorkerConfig) {
					c.Codecs = []batch.Codec{hostileCodec{decode: func() error { h.act("decode"); return nil }}}
					c.RetryPolicy = batch.RetryFunc(func(int, error) time.Duration { h.act("policy"); return 0 })
					c.Hooks = append(c.Hooks, h)
				})
				batch.Handle(r.worker, func(ctx context.Context, _ *batch.Job[task]) error {
					if at == "call extend" {
						time.Sleep(time.Minute)
					}
					if at == "policy" {
						return context.Canceled
					}
					return nil
				})
				r.enqueue(t, task{666})
				r.start(t)
				time.Sleep(15 * time.Second)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				start := time.Now()
				stopped := make(chan error, 1)
				go func() { stopped <- r.worker.Stop(ctx) }()
				select {
				case err := <-stopped:
					left := depth(t, r.queue)
					t.Logf("Stop = %v after %s, left %+v", err, time.Since(start), left)
					if time.Since(start) > 11*time.Second {
						t.Errorf("took %s", time.Since(start))
					}
					if err == nil && (at == "decode" || at == "policy" || at == "job end") {
						t.Error("Stop says that all is settled")
					}
				case <-time.After(time.Minute):
					t.Error("Stop hangs")
				}
			})
		})
	}
}

// A stop of a worker that still starts ends within its total, also if what it has opened does not close.
func TestStopWhileStartingWithABrokerThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newScripted()
		d.onDeclare = func(n int) error {
			if n > 1 {
				d.hangs.Store(true)
				return unavailable(driver.FateNotStored)
			}
			return nil
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Queues = append(c.Queues, batch.WorkerQueue{Name: "other"}) })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		started := make(chan error, 1)
		go func() { started <- r.worker.Start(t.Context()) }()
		time.Sleep(3 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		start := time.Now()
		err := r.worker.Stop(ctx)
		if took := time.Since(start); took > time.Second {
			t.Errorf("Stop = %v after %s", err, took)
		}
		t.Log(<-started)
	})
}

// A hook may stop the worker.
func TestStopFromAHook(t *testing.T) {
	for _, at := range []string{"job end", "fault", "call receive", "call settle", "suspect"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newScripted()
				d.onReceive = func(n int) error {
					if n == 2 {
						return unavailable(driver.FateNotStored)
					}
					return nil
				}
				h := &stopper{at: at}
				r := newRig(t, d, func(c *batch.WorkerConfig) { c.Hooks = append(c.Hooks, h) })
				h.worker = r.worker
				batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
				r.enqueue(t, task{})
				r.start(t)
				time.Sleep(2 * time.Minute)
				if at == "suspect" {
					r.stop(t)
					return
				}
				select {
				case <-r.worker.Stopped():
				default:
					t.Error("it did not stop")
				}
			})
		})
	}
}

type stopper struct {
	at     string
	worker *batch.Worker
}

func (h *stopper) act(at string) {
	if h.at == at {
		_ = h.worker.Stop(context.Background())
	}
}
func (h *stopper) OnJobEnd(context.Context, batch.JobEnd) { h.act("job end") }
func (h *stopper) OnFault(context.Context, batch.Fault)   { h.act("fault") }
func (h *stopper) OnCall(_ context.Context, c batch.Call) { h.act("call " + string(c.Op)) }

// meddler is a hook that changes what it is shown of a suspect.
type meddler struct{}

func (meddler) OnSuspect(_ context.Context, e batch.Suspect) { e.Job.Priority = 99 }

func TestHookThatChangesASuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newSuspectRig(t, false, func(c *batch.WorkerConfig) { c.Hooks = append(c.Hooks, meddler{}) })
		close(r.ordinary)
		close(r.suspect)
		<-r.events.ended
		<-r.events.ended
		r.stop(t, 0, 0, 0)
	})
}

// deafLog is a log handler that hangs from the first line of a stop on.
type deafLog struct {
	slog.Handler
	gate chan struct{}
}

func (h deafLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "worker draining" {
		<-h.gate
	}
	return nil
}

func TestStopWithALogThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		defer func() { close(gate); time.Sleep(time.Hour) }() // fake time
		r := newRig(t, memory.New(), func(c *batch.WorkerConfig) { c.Log = slog.New(deafLog{slog.NewTextHandler(io.Discard, nil), gate}) })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.start(t)
		start := time.Now()
		if err := r.worker.Stop(context.Background()); err == nil || time.Since(start) > 26*time.Second {
			t.Errorf("Stop = %v after %s", err, time.Since(start))
		}
	})
}
