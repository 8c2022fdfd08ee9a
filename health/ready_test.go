package health_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
)

// A worker is ready while it runs, and not while it drains.
func TestReadyThroughAWorkersLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := newProgram(t, newFlaky(), health.Config{}, batch.WorkerConfig{}, func(context.Context, *batch.Job[Mail]) error {
			<-release
			return nil
		})
		expect := func(status int, state string) {
			t.Helper()
			if code, r := p.ready(); code != status || r.State != state || r.Ready != (status == 200) || (r.Why == "") != r.Ready {
				t.Errorf("%d %+v, want %d %s", code, r, status, state)
			}
		}
		expect(503, "new")
		p.start()
		expect(200, "running")
		p.enqueue()
		synctest.Wait() // until it runs
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			p.stop()
		}()
		synctest.Wait()
		expect(503, "draining")
		close(release)
		<-stopped
		expect(503, "stopped")
	})
}

// On a queue where nothing happens, the check asks the broker itself, once in half of Patience.
func TestReadyOnAnIdleQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		p := newProgram(t, f, health.Config{Patience: 30 * time.Second}, batch.WorkerConfig{}, done)
		p.start()
		for range 60 {
			time.Sleep(time.Second)
			if code, r := p.ready(); code != 200 || r.BrokerAnsweredSecondsAgo == nil || *r.BrokerAnsweredSecondsAgo > 16 {
				t.Fatalf("%d %+v", code, r)
			}
			synctest.Wait()
		}
		if n := f.depths.Load(); n < 3 || n > 4 {
			t.Errorf("60 probes in a minute asked the broker %d times, want 3 or 4", n)
		}
		// Nobody has probed for long. The first probe waits for the answer, instead of guessing.
		time.Sleep(time.Hour)
		if code, r := p.ready(); code != 200 {
			t.Errorf("after an hour without probes: %d %+v", code, r)
		}
		p.stop()
	})
}

// While the broker is away, the worker is ready for as long as Patience. Each probe is answered within ProbeTimeout, and
// the broker is asked one question at a time.
func TestReadyWhileTheBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		p := newProgram(t, f, health.Config{Patience: 30 * time.Second, ProbeTimeout: 500 * time.Millisecond}, batch.WorkerConfig{}, done)
		p.start()
		f.away.Store(true)
		began := time.Now()
		for time.Since(began) < 5*time.Minute {
			silent := time.Since(began)
			start := time.Now()
			code, r := p.ready()
			if took := time.Since(start); took > 500*time.Millisecond {
				t.Fatalf("a probe took %s", took)
			}
			if want := silent <= 30*time.Second; r.Ready != want && (silent < 29*time.Second || silent > 31*time.Second) {
				t.Fatalf("after %s: %d %+v", silent, code, r)
			}
			time.Sleep(time.Second)
		}
		if n := f.depths.Load(); n > 11 {
			t.Errorf("the broker was asked %d times in 5 minutes, want one question in 30 seconds", n)
		}
		if code, r := p.ready(); code != 503 || !strings.Contains(r.Why, "has not answered for") || !strings.Contains(r.BrokerError, "flaky") {
			t.Errorf("%d %+v", code, r)
		}
		f.away.Store(false)
		time.Sleep(31 * time.Second) // what was asked before has ended
		if code, r := p.ready(); code != 200 || r.BrokerError != "" {
			t.Errorf("when it is back: %d %+v", code, r)
		}
		p.stop()
	})
}

// What a busy worker asks of the broker is answer enough.
func TestReadyOfABusyWorkerAsksNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		p := newProgram(t, f, health.Config{}, batch.WorkerConfig{}, done)
		p.start()
		for range 100 {
			p.enqueue()
			time.Sleep(time.Second)
			if code, r := p.ready(); code != 200 {
				t.Fatalf("%d %+v", code, r)
			}
		}
		if n := f.depths.Load(); n != 0 {
			t.Errorf("the broker was asked %d times", n)
		}
		p.stop()
	})
}

func TestWatchRefuses(t *testing.T) {
	good := func() *batch.WorkerConfig { return &batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "mail"}}} }
	for name, try := range map[string]func() error{
		"no worker": func() error { _, err := health.TryWatch(memory.New(), nil, health.Config{}); return err },
		"no queues": func() error {
			_, err := health.TryWatch(memory.New(), &batch.WorkerConfig{}, health.Config{})
			return err
		},
		"no driver": func() error { _, err := health.TryWatch(nil, good(), health.Config{}); return err },
		"patience": func() error {
			_, err := health.TryWatch(memory.New(), good(), health.Config{Patience: time.Millisecond})
			return err
		},
		"probe timeout": func() error {
			_, err := health.TryWatch(memory.New(), good(), health.Config{ProbeTimeout: -1})
			return err
		},
		"stuck": func() error {
			_, err := health.TryWatch(memory.New(), good(), health.Config{MaxStuck: -2})
			return err
		},
	} {
		if err := try(); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("%s: %v, want ErrInvalid", name, err)
		}
	}
	worker := good()
	worker.Queues[0].Name = "no good"
	if _, err := health.TryWatch(memory.New(), worker, health.Config{}); err == nil || len(worker.Hooks)+len(worker.Middleware) > 0 {
		t.Errorf("a bad name: %v, and the configuration is %+v", err, worker)
	}
	defer func() {
		if recover() == nil {
			t.Error("Watch did not panic")
		}
	}()
	health.Watch(nil, good(), health.Config{})
}

func TestOnlyReadingIsAnswered(t *testing.T) {
	h := health.Scale(memory.New(), health.ScaleConfig{Queues: []string{"mail"}})
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", nil))
	if answer.Code != http.StatusMethodNotAllowed || answer.Header().Get("Allow") == "" {
		t.Errorf("POST: %d %v", answer.Code, answer.Header())
	}
}
