package schedulers

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/lifecycle"

	// The drivers that a URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// childVariable has the assignment of a process that a test starts.
const childVariable = "BATCH_SCHEDULERS_CHILD"

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		var a assignment
		err := json.Unmarshal([]byte(text), &a)
		if err == nil {
			err = a.run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "schedulers:", err)
			os.Exit(1)
		}
		return
	}
	brokers.Main(m)
}

// assignment is what a process is to do.
type assignment struct {
	URL, Queue string
	// Store is the address of the store, empty where the broker has unique keys.
	Store string
	// Begin is when the day begins, by the system's clock, and Ticks how many minutes of it
	// there are.
	Begin time.Time
	Ticks int
	// Skews are how far the clocks of the process's schedulers are off.
	Skews []time.Duration
}

const (
	// pace is how much faster than time the clocks of the schedulers are: a tick of a minute
	// comes every 25 ms.
	pace = 2400
	// late is how late a tick may be: five minutes of the system's clock, so that a busy
	// machine is no reason to skip one.
	late = 5 * time.Minute * pace
	// claim is how long a claim lives: that of a process that was killed holds up its tick.
	claim = time.Second
)

// fast is a clock that began with the day.
type fast struct{ begin time.Time }

// Now implements cron.Clock.
func (c fast) Now() time.Time { return c.begin.Add(time.Since(c.begin) * pace) }

// Sleep implements cron.Clock.
func (fast) Sleep(ctx context.Context, d time.Duration) error { return lifecycle.Sleep(ctx, d/pace+1) }

// tickArgs are the args of the jobs.
type tickArgs struct{}

// Kind names them.
func (tickArgs) Kind() string { return "tick" }

// last is the last tick.
func (a *assignment) last() time.Time {
	return a.Begin.Truncate(time.Minute).Add(time.Duration(a.Ticks) * time.Minute)
}

// minutes is the schedule: each minute of the day, and no more.
func (a *assignment) minutes() cron.Schedule {
	return cron.Func("minutes", func(after time.Time) time.Time {
		if next := after.Truncate(time.Minute).Add(time.Minute); !next.After(a.last()) {
			return next
		}
		return time.Time{}
	})
}

// run runs the schedulers until standard input ends. For each of them that is through with
// all ticks it writes a line.
func (a *assignment) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	d, err := batch.Open[batch.Driver](ctx, a.URL)
	if err != nil {
		return err
	}
	defer d.Close(context.WithoutCancel(ctx))
	var all sync.WaitGroup
	errs := make(chan error, len(a.Skews))
	for _, skew := range a.Skews {
		run, err := a.scheduler(d, skew)
		if err != nil {
			return err
		}
		all.Go(func() { errs <- run(ctx) })
	}
	all.Wait()
	close(errs)
	var failed []error
	for err := range errs {
		failed = append(failed, err)
	}
	return errors.Join(failed...)
}

// scheduler makes one scheduler, and returns what runs it.
func (a *assignment) scheduler(d batch.Driver, skew time.Duration) (func(context.Context) error, error) {
	options := []cron.Option{
		cron.WithClock(fast{a.Begin.Add(-skew)}), cron.WithMissed(cron.All(late, 10_000)), cron.WithMaxSkew(time.Hour),
		cron.WithLog(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))),
		cron.WithObserver(func(e cron.Event) {
			switch {
			case e.Kind == cron.TickSkipped:
				fmt.Println("skipped", e.Tick, e.Err)
			case (e.Kind == cron.TickStored || e.Kind == cron.TickDuplicate) && e.Tick.Equal(a.last()):
				fmt.Println("through")
			}
		}),
	}
	if a.Store == "" {
		unique, ok := d.(batch.Deduplicator)
		if !ok {
			return nil, fmt.Errorf("%T has no unique keys", d)
		}
		s, err := cron.TryNew(batch.NewQueue(unique, a.Queue), cron.Fixed(entryOf[batch.Deduplicator](a)), options...)
		return s.Run, err
	}
	store, err := dialStore(a.Store)
	if err != nil {
		return nil, err
	}
	s, err := cron.TryNewWithStore(batch.NewQueue(d, a.Queue), store, cron.Fixed(entryOf[batch.Driver](a)), append(options, cron.WithClaim(claim))...)
	return s.Run, err
}

// entryOf is the schedule with its job.
func entryOf[D batch.Driver](a *assignment) cron.Entry[D] {
	return cron.Entry[D]{Name: "minutes", When: a.minutes(), Args: tickArgs{}, Since: a.Begin.Truncate(time.Minute).Add(time.Second)}
}

// process is a child that runs.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	// through is closed when all its schedulers are through, or it has ended.
	through chan struct{}
	ended   chan struct{}
	err     error    // why it ended, set before ended is closed
	odd     []string // lines that it should not have written, likewise
}

// start starts a process.
func start(t *testing.T, a assignment) *process {
	t.Helper()
	text, err := json.Marshal(a)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(self), through: make(chan struct{}), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.stdin, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go p.read(out, len(a.Skews))
	return p
}

// read reads what the process writes, until it has ended.
func (p *process) read(out io.Reader, schedulers int) {
	defer close(p.ended)
	through := sync.OnceFunc(func() { close(p.through) })
	defer through()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() != "through" {
			p.odd = append(p.odd, lines.Text())
			continue
		}
		if schedulers--; schedulers == 0 {
			through()
		}
	}
	p.err = p.cmd.Wait()
}

// kill ends the process as the kernel would, and returns when it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}
