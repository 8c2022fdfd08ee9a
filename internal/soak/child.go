package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/lifecycle"

	// The drivers that a URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// childVariable has the assignment of a process that this package starts.
const childVariable = "BATCH_SOAK_CHILD"

// assignment is what a process is to do.
type assignment struct {
	URL, Queue string
	// Name is the beginning of the IDs of its jobs.
	Name string
	// Producers is how many of them enqueue at the same time, each one job every Every.
	Producers int
	Every     time.Duration
	// Worker is whether it runs jobs.
	Worker bool
	// Lease is that of its worker, zero where the lease is the connection.
	Lease time.Duration
}

// args say what becomes of a job.
type args struct{ Plan string }

// Kind names the job.
func (args) Kind() string { return "soak" }

// The plans.
const (
	planDone = "done"
	planSlow = "slow" // done after a while
	planFail = "fail" // fails once, then done
	planDie  = "die"  // fails for good
)

// enqueueTimeout bounds one enqueue of a producer.
const enqueueTimeout = 5 * time.Second

// child is a process of the load.
type child struct {
	assignment
	mu     sync.Mutex // one line at a time
	out    io.Writer
	logged atomic.Int64
}

// ChildMain does what the environment assigns, and returns whether it assigns
// something. It ends when standard input does.
func ChildMain() bool {
	text := os.Getenv(childVariable)
	if text == "" {
		return false
	}
	c := &child{out: os.Stdout}
	err := json.Unmarshal([]byte(text), &c.assignment)
	if err == nil {
		err = c.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
	return true
}

// write writes an event. What is written before a process is killed is read.
func (c *child) write(op op, id string, arg int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(c.out, event{at: time.Now(), op: op, id: id, arg: arg}.line())
}

// run works until standard input ends.
func (c *child) run() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		cancel()
	}()
	d, err := c.open(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	var all sync.WaitGroup
	all.Go(func() { c.measure(ctx) })
	queue := batch.NewQueue(d, c.Queue)
	for n := range c.Producers {
		all.Go(func() { c.produce(ctx, queue, n) })
	}
	if c.Worker {
		all.Go(func() { err = c.work(ctx, d) })
	}
	c.write(opReady, c.Name, 0)
	all.Wait()
	closing, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()
	return errors.Join(err, d.Close(closing))
}

// open opens the broker, which may be away at the moment.
func (c *child) open(ctx context.Context) (batch.Driver, error) {
	for {
		trying, stop := context.WithTimeout(ctx, 5*time.Second)
		d, err := batch.Open[batch.Driver](trying, c.URL)
		stop()
		if err == nil || ctx.Err() != nil || !errors.Is(err, batch.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			return d, err
		}
		pause(ctx, 100*time.Millisecond)
	}
}

// pause waits, unless ctx ends.
func pause(ctx context.Context, d time.Duration) { _ = lifecycle.Sleep(ctx, d) }

// produce enqueues one job after the other. Which plan and delay a job has follows
// from its number.
func (c *child) produce(ctx context.Context, q *batch.Queue[batch.Driver], producer int) {
	for n := 0; ctx.Err() == nil; n++ {
		id := fmt.Sprintf("%s-%d-%d", c.Name, producer, n)
		plan := planDone
		switch {
		case n%10 == 3:
			plan = planFail
		case n%10 == 6:
			plan = planDie
		case n%50 == 8:
			plan = planSlow
		}
		options := []batch.Option[batch.Driver]{batch.ID(q, id)}
		var delay time.Duration
		if n%10 == 5 {
			delay = time.Duration(200+n%7*200) * time.Millisecond
			options = append(options, batch.DelayIfSupported(q, delay))
		}
		c.write(opEnqueue, id, delay.Milliseconds())
		begun := time.Now()
		trying, stop := context.WithTimeout(ctx, enqueueTimeout)
		_, err := q.Enqueue(trying, args{plan}, options...)
		stop()
		fate := opConfirmed
		if err != nil {
			fate = opNotStored
			if failed, ok := errors.AsType[*batch.EnqueueError](err); ok && failed.Fate == batch.FateUnknown {
				fate = opUnknown
			}
		}
		c.write(fate, id, time.Since(begun).Microseconds())
		pause(ctx, c.Every)
	}
}

// work runs jobs until ctx ends.
func (c *child) work(ctx context.Context, d batch.Driver) error {
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues:          []batch.WorkerQueue{{Name: c.Queue, Concurrency: 8, Lease: c.Lease}},
		RetryPolicy:     batch.ConstantBackoff(time.Second),
		SettleTimeout:   30 * time.Second,
		StartTimeout:    2 * time.Minute,
		Log:             slog.New(&counting{c, slog.NewTextHandler(os.Stderr, nil)}),
		MaxRedeliveries: 1000, // the faults are ours, not the jobs'
	})
	batch.Handle(w, c.handle)
	return w.Run(ctx)
}

// errPlanned is what failing handlers return.
var errPlanned = errors.New("as planned")

// handle does what the job's plan says.
func (c *child) handle(ctx context.Context, job *batch.Job[args]) error {
	c.write(opStarted, job.ID, int64(job.Attempt))
	switch {
	case job.Args.Plan == planDie:
		c.write(opDied, job.ID, 0)
		return batch.Permanent(errPlanned)
	case job.Args.Plan == planFail && job.Attempt == 1:
		c.write(opFailed, job.ID, 0)
		return errPlanned
	case job.Args.Plan == planSlow:
		pause(ctx, 300*time.Millisecond)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	c.write(opDone, job.ID, 0)
	return nil
}

// measure writes what the process uses, every second.
func (c *child) measure(ctx context.Context) {
	for ; ctx.Err() == nil; pause(ctx, time.Second) {
		memory, descriptors := resident(), 0
		if files, err := os.ReadDir("/proc/self/fd"); err == nil {
			descriptors = len(files)
		}
		c.write(opUsage, fmt.Sprintf("%d/%d", runtime.NumGoroutine(), descriptors), memory)
		c.write(opLogged, c.Name, c.logged.Load())
	}
}

// resident is how much memory the process has, in bytes, and zero where the system
// does not tell.
func resident() int64 {
	text, err := os.ReadFile("/proc/self/statm")
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

// counting is a log handler that leaves out what concerns single jobs, and counts
// the rest.
type counting struct {
	child *child
	slog.Handler
}

// Handle implements slog.Handler.
func (h *counting) Handle(ctx context.Context, r slog.Record) error {
	ofJob := false
	r.Attrs(func(a slog.Attr) bool {
		ofJob = ofJob || a.Key == "id"
		return !ofJob
	})
	if ofJob {
		return nil
	}
	h.child.logged.Add(1)
	return h.Handler.Handle(ctx, r)
}
