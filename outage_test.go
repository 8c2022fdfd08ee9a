package batch_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// logbook keeps the lines of a log, each with the time since it began.
type logbook struct {
	mu   sync.Mutex // guards following
	text bytes.Buffer
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// lines are those written so far.
func (b *logbook) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.Split(strings.TrimSuffix(b.text.String(), "\n"), "\n")
}

// logger writes to the book.
func (b *logbook) logger(level slog.Level) *slog.Logger {
	start := time.Now()
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.String("t", a.Value.Time().Sub(start).Truncate(time.Second).String())
		}
		return a
	}}))
}

// matchLines compares a log with one expression for each of its lines.
func matchLines(t *testing.T, got []string, want ...string) {
	t.Helper()
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(want):
			t.Errorf("line %d is too many: %s", i+1, got[i])
		case i >= len(got):
			t.Errorf("line %d is missing: %s", i+1, want[i])
		case !regexp.MustCompile("^" + want[i] + "$").MatchString(got[i]):
			t.Errorf("line %d: %s\nwant:   %s", i+1, got[i], want[i])
		}
	}
	if t.Failed() {
		t.Log("the whole log:\n" + strings.Join(got, "\n"))
	}
}

// breakable is a driver whose broker a test can take away: calls under way fail, and
// so do all others until it is back.
type breakable struct {
	*memory.Driver

	mu      sync.Mutex // guards following
	present context.Context
	leave   context.CancelFunc
}

func newBreakable() *breakable {
	d := &breakable{Driver: memory.New()}
	d.back()
	return d
}

// gone takes the broker away.
func (d *breakable) gone() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.leave()
}

// back brings it back.
func (d *breakable) back() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.present, d.leave = context.WithCancel(context.Background())
}

// reach returns a context that ends when the broker goes, or an error if it is gone.
func (d *breakable) reach(ctx context.Context) (context.Context, func(), error) {
	d.mu.Lock()
	present := d.present
	d.mu.Unlock()
	if present.Err() != nil {
		return nil, nil, unavailable(driver.FateNotStored)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(present, cancel)
	return ctx, func() { stop(); cancel() }, nil
}

func (d *breakable) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	ctx, done, err := d.reach(ctx)
	if err != nil {
		return driver.Depth{}, err
	}
	defer done()
	return d.Driver.Depth(ctx, queue)
}

func (d *breakable) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return &breakableConsumer{c, d}, err
}

type breakableConsumer struct {
	driver.Consumer
	d *breakable
}

func (c *breakableConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	reaching, done, err := c.d.reach(ctx)
	if err != nil {
		return nil, err
	}
	defer done()
	deliveries, err := c.Consumer.Receive(reaching, max)
	if err != nil && ctx.Err() == nil && reaching.Err() != nil {
		err = unavailable(driver.FateUnknown)
	}
	return deliveries, err
}

func (c *breakableConsumer) Settle(ctx context.Context, s []driver.Settlement) []error {
	_, done, err := c.d.reach(ctx)
	if err != nil {
		return sameError(s, err)
	}
	defer done()
	return c.Consumer.Settle(ctx, s)
}

func (c *breakableConsumer) Extend(ctx context.Context, list []*driver.Delivery) []error {
	_, done, err := c.d.reach(ctx)
	if err != nil {
		return sameError(list, err)
	}
	defer done()
	return c.Consumer.Extend(ctx, list)
}

// Lines that the tests of this file have in common.
const (
	lineRunning  = `t=0s level=INFO msg="worker running" driver=memory broker=\S+ version=\S+ concurrency.busy=1 concurrency.idle=10 concurrency.lazy=3`
	lineLost     = `t=15s level=WARN msg="broker lost" queue=\w+ op=receive error="scripted: call: broker unavailable: connection refused"`
	lineAway     = `level=WARN msg="broker still away" away=30s failed_calls=\d\d+ error=".*connection refused"`
	lineDraining = `level=INFO msg="worker draining"`
)

// startThree makes a worker with three queues, of which one is busy.
func startThree(t *testing.T, d *breakable, book *logbook, handler func(context.Context, *batch.Job[task]) error) *batch.Worker {
	t.Helper()
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{
			{Name: "busy", Concurrency: 1, Prefetch: 40, Lease: 20 * time.Second},
			{Name: "idle"}, {Name: "lazy", Concurrency: 3},
		},
		Log: book.logger(slog.LevelInfo),
	})
	batch.Handle(w, handler)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestLogOfAnOutage is the whole log of a worker with three queues, forty prefetched jobs and one that runs, while its
// broker is away for longer than their leases.
func TestLogOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newBreakable(), &logbook{}
		q := batch.NewQueue(d, "busy")
		for n := range 41 {
			if _, err := q.Enqueue(t.Context(), task{n}, batch.ID(q, fmt.Sprint("job-", n))); err != nil {
				t.Fatal(err)
			}
		}
		w := startThree(t, d, book, func(ctx context.Context, job *batch.Job[task]) error {
			if job.Deliveries > 1 {
				return nil
			}
			if job.Args.N > 0 {
				t.Errorf("job %d was started after its lease was lost", job.Args.N)
			}
			<-ctx.Done()
			time.Sleep(100 * time.Millisecond) // the loss is logged first
			return ctx.Err()
		})
		time.Sleep(15 * time.Second)
		d.gone()
		time.Sleep(32 * time.Second)
		d.back()
		time.Sleep(5 * time.Minute)
		if left := depth(t, q); left != (batch.Depth{}) {
			t.Errorf("left = %+v, want nothing", left)
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		matchLines(t, book.lines(),
			lineRunning, lineLost,
			`t=3\ds level=WARN msg="lease lost, the job may run a second time" queue=busy kind=task id=job-0 attempt=1 max_attempts=25`,
			`t=3\ds level=WARN msg="job ended without its lease" queue=busy kind=task id=job-0 attempt=1 max_attempts=25 duration=3\S+ error="lease lost"`,
			`t=3\ds level=WARN msg="leases lost of jobs that had not started, another worker gets them" queue=busy jobs=40`,
			`t=45s `+lineAway,
			`t=(4[89]|5\d)s level=WARN msg="broker is back" away=3[2-9]\S* failed_calls=\d\d+`,
			`t=5m47s `+lineDraining, `t=5m47s level=INFO msg="worker stopped" given_back=0`,
		)
	})
}

// TestLogOfAnOutageWithoutJobs has nothing but idle queues, whose receives tell nothing once they get through.
func TestLogOfAnOutageWithoutJobs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newBreakable(), &logbook{}
		w := startThree(t, d, book, func(context.Context, *batch.Job[task]) error { return nil })
		time.Sleep(15 * time.Second)
		for range 2 {
			d.gone()
			time.Sleep(32 * time.Second)
			d.back()
			time.Sleep(time.Minute)
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		back := `level=WARN msg="broker is back" away=3[2-9]\S* failed_calls=\d\d+`
		matchLines(t, book.lines(),
			lineRunning, lineLost, `t=45s `+lineAway, `t=(4[89]|5\d)s `+back,
			strings.Replace(lineLost, "t=15s", "t=1m47s", 1), `t=2m17s `+lineAway, `t=2m2\ds `+back,
			`t=3m19s `+lineDraining, `t=3m19s level=INFO msg="worker stopped" given_back=0`,
		)
	})
}

// TestStopDuringAnOutage leaves nothing behind, and says what could not be settled.
func TestStopDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newBreakable(), &logbook{}
		w := startThree(t, d, book, func(context.Context, *batch.Job[task]) error { time.Sleep(20 * time.Second); return nil })
		q := batch.NewQueue(d, "busy")
		for n := range 2 {
			if _, err := q.Enqueue(t.Context(), task{n}); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(15 * time.Second)
		d.gone()
		synctest.Wait()
		if err := w.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "2 jobs could not be settled") {
			t.Errorf("Stop = %v, want an error that counts the jobs", err)
		}
		matchLines(t, book.lines(),
			lineRunning, lineLost, `t=15s `+lineDraining,
			`t=38s level=WARN msg="gave up settling jobs, they may run a second time" queue=busy jobs=\d error=.*`,
			`t=38s level=INFO msg="worker stopped" given_back=0`,
		)
	})
}

// TestRepeatedFaultsAreLoggedNowAndThen has a broker that answers, with an error.
func TestRepeatedFaultsAreLoggedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newScripted(), &logbook{}
		d.onReceive = func(int) error {
			return &driver.Error{Driver: "scripted", Op: "receive", Kind: driver.ErrBroker, Err: errors.New("no memory")}
		}
		r := newRig(t, d, func(c *batch.WorkerConfig) { c.Log = book.logger(slog.LevelWarn) })
		batch.Handle(r.worker, func(context.Context, *batch.Job[task]) error { return nil })
		r.start(t)
		time.Sleep(40 * time.Second)
		r.stop(t)
		line := `level=WARN msg="broker call failed" queue=tasks op=receive error="scripted: receive: broker error: no memory" retry_in=\S+`
		matchLines(t, book.lines(), `t=0s `+line, `t=3\ds `+line+` repeated=\d+`)
	})
}

// The log of a worker that gives forty jobs back has one line with their number.
func TestLogOfADrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, book := newBreakable(), &logbook{}
		q := batch.NewQueue(d, "busy")
		for n := range 41 {
			if _, err := q.Enqueue(t.Context(), task{n}); err != nil {
				t.Fatal(err)
			}
		}
		w := startThree(t, d, book, func(context.Context, *batch.Job[task]) error { time.Sleep(time.Second); return nil })
		synctest.Wait()
		if err := w.Stop(t.Context()); err != nil {
			t.Error(err)
		}
		matchLines(t, book.lines(), lineRunning, `t=0s `+lineDraining, `t=1s level=INFO msg="worker stopped" given_back=40`)
	})
}

// A worker with many queues counts them in its line, as one attribute for each would be too
// long for what collects logs.
func TestTheLineOfAWorkerWithManyQueuesIsShort(t *testing.T) {
	for n, want := range map[int]string{
		2:   ` concurrency.q0=10 concurrency.q1=10`,
		300: ` queues=300 total_concurrency=3000`,
	} {
		book := &logbook{}
		config := batch.WorkerConfig{Log: book.logger(slog.LevelInfo)}
		for i := range n {
			config.Queues = append(config.Queues, batch.WorkerQueue{Name: fmt.Sprintf("q%d", i)})
		}
		w := batch.NewWorker(memory.New(), config)
		batch.Handle(w, func(context.Context, *batch.Job[task]) error { return nil })
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if line := book.lines()[0]; !strings.Contains(line, "worker running") || !strings.HasSuffix(line, want) {
			t.Errorf("the line of a worker with %d queues is %q, want one that ends with %q", n, line, want)
		}
	}
}
