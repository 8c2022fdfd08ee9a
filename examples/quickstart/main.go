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
// URL of RabbitMQ, NATS, PostgreSQL or SQS on that; with BATCH_URL=memory:// it keeps its jobs
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
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"

	// The drivers that BATCH_URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/postgres"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// errInterrupted says that the run is not complete.
var errInterrupted = errors.New("interrupted; run it again with the same arguments to go on")

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
	switch err := start(ctx, c, newScreen(os.Stdout)); {
	case errors.Is(err, errInterrupted):
		fmt.Println("\n" + err.Error())
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// start lists the files, opens the results and the broker, and runs.
func start(ctx context.Context, c config, s *screen) error {
	list, err := scan(c.roots, c.demo)
	if err != nil {
		return err
	}
	if err := c.setDefaults(list.roots); err != nil {
		return err
	}
	if err := list.exclude(c.results); err != nil {
		return err
	}
	results, err := openResults(c.results, list.roots, c.reset)
	if err != nil {
		return err
	}
	defer results.Close()
	d, err := open(ctx, c.url)
	if err != nil {
		return err
	}
	defer d.Close(context.WithoutCancel(ctx))
	r := &run{config: c, driver: d, list: list, results: results, progress: newProgress(list, results), screen: s}
	return r.do(ctx)
}

// open connects to the broker, for which it waits ten seconds.
func open(ctx context.Context, address string) (batch.Driver, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return batch.Open[batch.Driver](ctx, address)
}

// run is one run of the program, or what is left of one that was interrupted. It
// works on any broker: batch.Driver is the capability set that they all have.
type run struct {
	config
	driver   batch.Driver
	list     *listing
	results  *results
	progress *progress
	screen   *screen
}

// do goes through the run.
func (r *run) do(ctx context.Context) error {
	// A run has a queue of its own unless the user named one.
	own := r.config.queue == ""
	if own {
		r.config.queue = "quickstart-" + r.results.Run()
	}
	queue, err := batch.TryNewQueue(r.driver, r.config.queue)
	if err != nil {
		return err
	}
	if old := r.results.Replaced(); old != "" && own {
		if err := batch.NewQueue(r.driver, "quickstart-"+old).Delete(ctx); err != nil {
			return err
		}
	}
	if err := queue.Declare(ctx); err != nil { // it is read before anything is enqueued
		return err
	}
	if err := r.progress.loadDeadLetters(ctx, queue); err != nil {
		return err
	}
	r.screen.intro(r.driver, r.config, r.list, r.progress, r.results)
	begun := time.Now()
	if err := r.work(ctx, queue); err != nil {
		return err
	}
	dead, err := r.progress.deadLetters(context.WithoutCancel(ctx), queue)
	if err != nil {
		return err
	}
	r.screen.summary(r.progress, dead, r.results, time.Since(begun))
	if !r.progress.isComplete() {
		return errInterrupted
	}
	if own {
		if err := queue.Delete(context.WithoutCancel(ctx)); err != nil {
			return err
		}
	}
	return r.results.Finish()
}

// work enqueues the files that are not accounted for and runs the workers until
// all are, or ctx ends.
func (r *run) work(ctx context.Context, queue *batch.Queue[batch.Driver]) error {
	w := batch.NewWorker(r.driver, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue.Name(), Concurrency: r.workers, Lease: shortLease(r.driver)}},
		Middleware: []batch.Middleware{idempotency.Middleware(r.results,
			idempotency.Wait(100*time.Millisecond), idempotency.Retention(10*365*24*time.Hour))},
		Hooks: []batch.Hook{&watcher{r.progress, r.screen}},
		Log:   slog.New(slog.DiscardHandler), // the watcher shows what happens
	})
	digester := &digester{results: r.results, progress: r.progress, pace: r.pace}
	batch.Handle(w, digester.Handle,
		batch.HandleMaxAttempts(3), batch.HandleRetry(batch.ConstantBackoff(300*time.Millisecond)))
	if err := w.Start(ctx); err != nil {
		return err
	}
	r.screen.start(r.progress)
	defer r.screen.stop()

	enqueuing, cancel := context.WithCancelCause(ctx)
	enqueued := make(chan error, 1)
	go func() { enqueued <- r.enqueue(enqueuing, queue) }()
	var failure error
	for waiting := true; waiting; {
		select {
		case err := <-enqueued:
			enqueued = nil // nothing more comes from it
			if err != nil && ctx.Err() == nil {
				failure, waiting = err, false
			}
		case <-r.progress.complete:
			waiting = false
		case <-w.Failed():
			failure, waiting = errors.New("the worker cannot go on: the driver was closed"), false
		case <-ctx.Done():
			r.screen.printf("stopping: what has started may finish; press Ctrl-C again to end at once")
			waiting = false
		}
	}
	cancel(context.Canceled)
	if enqueued != nil {
		<-enqueued
	}
	// The worker tells the broker what became of the jobs before it stops.
	return errors.Join(failure, w.Stop(context.WithoutCancel(ctx)))
}

// enqueue stores a job for every file that is not accounted for. After a crash
// some of them are stored already; as nobody can tell which, all are stored
// again, and idempotency makes the copies count once.
func (r *run) enqueue(ctx context.Context, queue *batch.Queue[batch.Driver]) error {
	var requests []batch.Request[batch.Driver]
	flush := func() error {
		_, err := queue.EnqueueMany(ctx, requests)
		requests = requests[:0]
		return err
	}
	for _, f := range r.list.files {
		key := f.key(r.results.Run())
		if r.progress.accounted(key) {
			continue
		}
		requests = append(requests, batch.Request[batch.Driver]{
			Args:    Digest{Run: r.results.Run(), Path: f.path},
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

// shortLease is the lease by which the jobs of a killed process come back after a
// few seconds, as far as the broker allows, so that this can be watched.
func shortLease(d batch.Driver) time.Duration {
	l := d.Info().Limits
	return min(max(5*time.Second, l.MinLease), l.MaxLease)
}
