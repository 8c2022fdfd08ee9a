package health_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/health"
)

// A worker is alive from before its start until it has stopped, and is not while it cannot go on.
func TestLiveThroughAWorkersLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProgram(t, newFlaky(), health.Config{}, batch.WorkerConfig{}, done)
		expect := func(status int, state string) {
			t.Helper()
			if code, l := p.live(); code != status || l.State != state || l.Alive != (status == 200) || (l.Why == "") != l.Alive {
				t.Errorf("%d %+v, want %d %s", code, l, status, state)
			}
		}
		expect(200, "new")
		p.start()
		expect(200, "running")
		time.Sleep(24 * time.Hour) // nothing happens, which is no fault
		expect(200, "running")
		p.stop()
		expect(503, "stopped")
	})
}

func TestLiveOfAWorkerThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		p := newProgram(t, f, health.Config{}, batch.WorkerConfig{}, done)
		p.start()
		if err := f.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-p.w.Failed()
		if code, l := p.live(); code != 503 || l.State != "failed" || l.Why == "" {
			t.Errorf("%d %+v", code, l)
		}
		if code, r := p.ready(); code != 503 || r.State != "failed" || r.Why == "" {
			t.Errorf("%d %+v", code, r)
		}
		_ = p.w.Stop(context.Background())
	})
}

// The broker is not asked, also if it is away for long, with a job that runs all the while.
func TestLiveNeverAsksTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		release := make(chan struct{})
		p := newProgram(t, f, health.Config{}, batch.WorkerConfig{Timeout: 24 * time.Hour}, func(context.Context, *batch.Job[Mail]) error {
			<-release
			return nil
		})
		p.start()
		p.enqueue()
		f.away.Store(true)
		for range 60 {
			time.Sleep(time.Minute)
			if code, l := p.live(); code != 200 {
				t.Fatalf("%d %+v", code, l)
			}
		}
		if n := f.depths.Load(); n != 0 {
			t.Errorf("the broker was asked %d times", n)
		}
		close(release)
		p.stop()
	})
}

// A handler counts as stuck until it returns.
func TestLiveCountsStuckHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := newProgram(t, newFlaky(), health.Config{MaxStuck: 2}, batch.WorkerConfig{StuckAfter: time.Second, MaxAttempts: 1},
			func(context.Context, *batch.Job[Mail]) error {
				<-release
				return nil
			}, batch.HandleTimeout(time.Second))
		p.start()
		for n := range 4 {
			code, l := p.live()
			if want := map[bool]int{true: 200, false: 503}[n <= 2]; code != want || l.StuckHandlers != n {
				t.Errorf("with %d stuck handlers: %d %+v, want %d", n, code, l, want)
			}
			if n == 3 && !strings.Contains(l.Why, "3 handlers do not return") {
				t.Errorf("the reason is %q", l.Why)
			}
			p.enqueue()
			time.Sleep(3 * time.Second)
		}
		close(release)
		synctest.Wait()
		if code, l := p.live(); code != 200 || l.StuckHandlers != 0 {
			t.Errorf("when they have returned: %d %+v", code, l)
		}
		p.stop()
	})
}

func TestLiveWithAnyNumberOfStuckHandlers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		p := newProgram(t, newFlaky(), health.Config{MaxStuck: health.NoMaxStuck},
			batch.WorkerConfig{StuckAfter: time.Second, MaxAttempts: 1}, func(context.Context, *batch.Job[Mail]) error {
				<-release
				return nil
			}, batch.HandleTimeout(time.Second))
		p.start()
		for range 30 {
			p.enqueue()
		}
		time.Sleep(time.Minute)
		if code, l := p.live(); code != 200 || l.StuckHandlers != 30 {
			t.Errorf("%d %+v", code, l)
		}
		close(release)
		p.stop()
	})
}

// A call to extend leases that does not return, although its time has passed, stops what keeps running jobs from being
// handed out again. The worker is then not alive.
func TestLiveSeesAStandstill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		f.extend = make(chan struct{})
		release := make(chan struct{})
		p := newProgram(t, f, health.Config{}, batch.WorkerConfig{Timeout: 24 * time.Hour}, func(context.Context, *batch.Job[Mail]) error {
			<-release
			return nil
		})
		p.start()
		p.enqueue()
		time.Sleep(time.Minute)
		if code, l := p.live(); code != 200 {
			t.Errorf("after a minute: %d %+v", code, l)
		}
		time.Sleep(2 * time.Minute)
		if code, l := p.live(); code != 503 || !strings.Contains(l.Why, "stands still") {
			t.Errorf("after three minutes: %d %+v", code, l)
		}
		close(f.extend)
		close(release)
		synctest.Wait()
		if code, l := p.live(); code != 200 {
			t.Errorf("when it goes on: %d %+v", code, l)
		}
		p.stop()
	})
}

// A job whose lease was lost is not extended, and may run on.
func TestLiveAfterALostLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFlaky()
		release := make(chan struct{})
		p := newProgram(t, f, health.Config{}, batch.WorkerConfig{Timeout: 24 * time.Hour}, func(context.Context, *batch.Job[Mail]) error {
			<-release
			return nil
		})
		p.start()
		p.enqueue()
		synctest.Wait()
		if err := p.queue.Delete(t.Context()); err != nil { // which takes the lease away
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if code, l := p.live(); code != 200 {
			t.Errorf("%d %+v", code, l)
		}
		close(release)
		p.stop()
	})
}

// The check is the outermost middleware, and keeps what was there.
func TestWatchAddsToTheConfiguration(t *testing.T) {
	var order []string
	config := batch.WorkerConfig{
		Queues:     []batch.WorkerQueue{{Name: "mail"}},
		Middleware: []batch.Middleware{func(next batch.Handler) batch.Handler { order = append(order, "mine"); return next }},
		Hooks:      []batch.Hook{&counter{}},
	}
	health.Watch(memory.New(), &config, health.Config{})
	if len(config.Middleware) != 2 || len(config.Hooks) != 2 {
		t.Fatalf("%d middlewares and %d hooks, want 2 of each", len(config.Middleware), len(config.Hooks))
	}
	config.Middleware[1](nil)
	if len(order) != 1 {
		t.Error("the second middleware is not the one that was there")
	}
}

// counter is a hook.
type counter struct{}

func (*counter) OnJobEnd(context.Context, batch.JobEnd) {}
