// Command quickstart computes the SHA-256 digest, size and number of lines of
// every file under the given files and folders (default: the working directory),
// as background jobs: one job a file, run by concurrent workers of the same
// process.
//
//	go run ./examples/quickstart [flags] [files or folders...]
//
// It needs no broker: without BATCH_URL a JetStream server in the process keeps
// the jobs in a folder below the user's cache folder. With
// BATCH_URL=redis://localhost:6379 the same program works on Redis, and with the
// URL of RabbitMQ, NATS or SQS on that; with BATCH_URL=memory:// it keeps its jobs
// nowhere.
//
// It can be killed at any moment, with SIGKILL too. Started again with the same
// arguments it goes on, and in the end every file is counted exactly once,
// although the broker may hand out a job twice: results.go says how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"

	// The drivers that BATCH_URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// missing is the path that -demo-failure adds.
const missing = "does-not-exist"

// config is what the command line and the environment say.
type config struct {
	url     string
	jobs    string // the folder of the program's own server, if it runs on that
	roots   []string
	queue   string
	results string
	workers int
	pace    time.Duration
	reset   bool
	demo    bool
}

func main() {
	c, err := parse(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		os.Exit(2)
	}
	// The first Ctrl-C drains; a second one ends the process as it always does.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	switch err := run(ctx, c, newScreen(os.Stdout)); {
	case errors.Is(err, errInterrupted):
		fmt.Println("\n" + err.Error())
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// errInterrupted says that the run is not complete.
var errInterrupted = errors.New("interrupted; run it again with the same arguments to go on")

func parse(args []string, out io.Writer) (config, error) {
	c := config{url: os.Getenv("BATCH_URL")}
	f := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		fmt.Fprint(out, "usage: quickstart [flags] [files or folders...]\n\nBATCH_URL names the broker; without it the jobs are kept in a folder beside the results file.\n\n")
		f.PrintDefaults()
	}
	f.IntVar(&c.workers, "workers", 4, "how many files are worked on at one time, 1 to 10000")
	f.DurationVar(&c.pace, "pace", 0, "a pause in each job, so that there is time to kill the program in mid-run")
	f.StringVar(&c.queue, "queue", "", "the queue's name; by default a queue of the run's own, removed when the run is complete")
	f.StringVar(&c.results, "results", "", "the results file; by default one in the user's cache folder, named after the arguments")
	f.BoolVar(&c.reset, "reset", false, "start over, instead of going on with a run that was interrupted")
	f.BoolVar(&c.demo, "demo-failure", true, "add the path "+missing+", to show retries and a dead letter")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if c.workers < 1 || c.workers > 10_000 || c.pace < 0 {
		fmt.Fprintln(out, "quickstart: -workers must be 1 to 10000, and -pace not negative")
		return c, flag.ErrHelp
	}
	c.roots = f.Args()
	if len(c.roots) == 0 {
		c.roots = []string{"."}
	}
	return c, nil
}

// run goes through one run, or what is left of one.
func run(ctx context.Context, c config, s *screen) error {
	list, err := scan(c.roots, c.demo)
	if err != nil {
		return err
	}
	if c.results == "" {
		c.results = defaultResults(list.roots)
	}
	if err := list.leaveOut(c.results); err != nil {
		return err
	}
	results, err := openResults(c.results, list.roots, c.reset)
	if err != nil {
		return err
	}
	defer results.Close()
	if c.url == "" {
		if c.url, c.jobs, err = ownURL(c.results); err != nil {
			return err
		}
	}

	// Everything below works on any broker: batch.Driver is the capability set
	// that they all have.
	d, err := open(ctx, c.url)
	if err != nil {
		return err
	}
	defer d.Close(context.WithoutCancel(ctx))

	// A run has a queue of its own unless the user named one.
	own := c.queue == ""
	if own {
		c.queue = "quickstart-" + results.Run()
	}
	queue, err := batch.TryNewQueue(d, c.queue)
	if err != nil {
		return err
	}
	if old := results.Abandoned(); old != "" && own {
		if err := batch.NewQueue(d, "quickstart-"+old).Drop(ctx); err != nil {
			return err
		}
	}
	t := newTally(list, results)
	if err := t.recall(ctx, queue); err != nil {
		return err
	}
	s.intro(d, c, list, t, results)
	start := time.Now()
	if err := work(ctx, c, d, queue, list, results, t, s); err != nil {
		return err
	}
	dead, err := deadLetters(context.WithoutCancel(ctx), queue, t)
	if err != nil {
		return err
	}
	s.summary(t, dead, results, time.Since(start))
	if !t.complete() {
		return errInterrupted
	}
	if own {
		if err := queue.Drop(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return results.Finish()
}

// open connects to the broker, for which it waits ten seconds.
func open(ctx context.Context, address string) (batch.Driver, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return batch.Open[batch.Driver](ctx, address)
}

// work enqueues the files that are not accounted for and runs the workers until
// all are, or ctx ends.
func work(ctx context.Context, c config, d batch.Driver, queue *batch.Queue[batch.Driver], list *listing, results *results, t *tally, s *screen) error {
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue.Name(), Concurrency: c.workers, Lease: shortLease(d)}},
		Middleware: []batch.Middleware{idempotency.Middleware(results,
			idempotency.Wait(100*time.Millisecond), idempotency.Retention(10*365*24*time.Hour))},
		Hooks: []batch.Hook{&watcher{tally: t, screen: s}},
	})
	digest := &digester{results: results, tally: t, pace: c.pace}
	batch.Handle(w, digest.Handle,
		batch.HandleMaxAttempts(3), batch.HandleRetry(batch.Constant(300*time.Millisecond)))
	if err := w.Start(ctx); err != nil {
		return err
	}
	s.start(t)
	defer s.stop()

	enqueuing, cancel := context.WithCancelCause(ctx)
	enqueued := make(chan error, 1)
	go func() { enqueued <- enqueue(enqueuing, queue, results.Run(), list.files, t) }()
	var failure error
	for waiting := true; waiting; {
		select {
		case err := <-enqueued:
			enqueued = nil // nothing more comes from it
			if err != nil && ctx.Err() == nil {
				failure, waiting = err, false
			}
		case <-t.accounted:
			waiting = false
		case <-w.Failed():
			failure, waiting = errors.New("the worker cannot go on: the driver was closed"), false
		case <-ctx.Done():
			s.line("stopping: what has started may finish; press Ctrl-C again to end at once")
			waiting = false
		}
	}
	cancel(context.Canceled)
	if enqueued != nil {
		<-enqueued
	}
	// The worker tells the broker what became of the jobs before it stops.
	stopping, done := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer done()
	return errors.Join(failure, w.Stop(stopping))
}

// enqueue stores a job for every file that is not accounted for. After a crash
// some of them are stored already; as nobody can tell which, all are stored
// again, and idempotency makes the copies count once.
func enqueue(ctx context.Context, queue *batch.Queue[batch.Driver], run string, files []file, t *tally) error {
	var requests []batch.Request[batch.Driver]
	flush := func() error {
		_, err := queue.EnqueueMany(ctx, requests)
		requests = requests[:0]
		return err
	}
	for _, f := range files {
		key := f.key(run)
		if t.settled(key) {
			continue
		}
		requests = append(requests, batch.Request[batch.Driver]{
			Args:    Digest{Run: run, Path: f.path},
			Options: []batch.Option[batch.Driver]{batch.ID(queue, key)},
		})
		if len(requests) == 500 {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// shortLease has the jobs of a killed process come back after a few seconds, as
// far as the broker allows, so that this can be watched.
func shortLease(d batch.Driver) time.Duration {
	l := d.Info().Limits
	return min(max(5*time.Second, l.MinLease), l.MaxLease)
}

// ownURL names a folder beside the results file, which a JetStream server in this
// process keeps jobs in.
func ownURL(results string) (address, folder string, err error) {
	folder, err = filepath.Abs(strings.TrimSuffix(results, filepath.Ext(results)) + ".jobs")
	u := url.URL{Scheme: "jetstream", Path: filepath.ToSlash(folder), OmitHost: true}
	return u.String(), folder, err
}

// defaultResults is a file in the user's cache folder whose name depends on the
// arguments, so that the same arguments find it again.
func defaultResults(roots []string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "batch-quickstart", fingerprint(roots...)+".jsonl")
}
