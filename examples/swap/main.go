// Command swap is one program for every broker. It charges orders in the
// background, with a retry, two dead letters and a redrive, and prints the same
// words whichever broker carries them:
//
//	go run ./examples/swap
//	BATCH_URL=redis://localhost:6379 go run ./examples/swap
//	BATCH_URL=amqp://localhost go run ./examples/swap
//	BATCH_URL=nats://localhost:4222 go run ./examples/swap
//	BATCH_URL=jetstream:///var/lib/shop/jobs go run ./examples/swap
//	BATCH_URL=postgres://localhost/shop go run ./examples/swap
//	BATCH_URL=sqs://eu-central-1 go run ./examples/swap
//
// It relies on what every broker has, so it asks for [batch.Driver] and no more.
// A program that relies on more says so when it opens the broker, and is told at
// once if that cannot be had; -need shows it:
//
//	BATCH_URL=nats://localhost:4222 go run ./examples/swap -need priority
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch"

	// The drivers that BATCH_URL may name.
	_ "github.com/batch-go/batch/driver/amqp"
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/nats"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	_ "github.com/batch-go/batch/driver/postgres"
	_ "github.com/batch-go/batch/driver/redis"
	_ "github.com/batch-go/batch/driver/sqs"
)

// needs are what -need may name: what a program can rely on beyond what every
// broker has.
var needs = map[string]func(context.Context, string) (batch.Driver, error){
	"":         open[batch.Driver],
	"priority": open[batch.Prioritizer],
	"delay":    open[batch.Delayer],
	"unique":   open[batch.Deduplicator],
	"group":    open[batch.Grouper],
	"atomic":   open[batch.AtomicEnqueuer],
	"inspect":  open[batch.Inspector],
	"pause":    open[batch.Pauser],
}

// open connects to a broker that has the capability set B, or says what it
// lacks. A program with one set calls batch.Open itself.
func open[B batch.Driver](ctx context.Context, url string) (batch.Driver, error) {
	return batch.Open[B](ctx, url)
}

func main() {
	need := flag.String("need", "", "a capability to rely on: "+strings.Join(slices.Sorted(maps.Keys(needs))[1:], ", "))
	flag.Parse()
	if err := swap(os.Getenv("BATCH_URL"), *need, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "swap:", err)
		os.Exit(1)
	}
}

// swap runs the program on the broker that the URL names.
func swap(url, need string, out io.Writer) (err error) {
	if url == "" {
		url = "memory://"
	}
	connect, ok := needs[need]
	if !ok {
		return fmt.Errorf("-need %s is none of %s", need, strings.Join(slices.Sorted(maps.Keys(needs))[1:], ", "))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	d, err := connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close(ctx)) }()

	// Its own in every run, so that runs can share a broker.
	queue := batch.NewQueue(d, "swap-"+rand.Text())
	defer func() { err = errors.Join(err, queue.Delete(ctx)) }()
	return run(ctx, d, queue, out)
}

// Charge is a job: an order to be paid.
type Charge struct {
	Order int    `json:"order"`
	Card  string `json:"card"`
}

// Kind is the job's name on the wire.
func (Charge) Kind() string { return "swap.charge" }

// run enqueues, works, redrives and works again.
func run(ctx context.Context, d batch.Driver, queue *batch.Queue[batch.Driver], out io.Writer) error {
	var requests []batch.Request[batch.Driver]
	for i, card := range []string{"valid", "busy", "empty", "stolen", "valid", "valid"} {
		requests = append(requests, batch.Request[batch.Driver]{
			Args: Charge{Order: i + 1, Card: card},
			Options: []batch.Option[batch.Driver]{
				batch.ID(queue, fmt.Sprintf("order-%d", i+1)), batch.Header(queue, "shop", "Malmö"),
			},
		})
	}
	first, rest := requests[0], requests[1:]
	if _, err := queue.Enqueue(ctx, first.Args, first.Options...); err != nil {
		return err
	}
	receipts, err := queue.EnqueueMany(ctx, rest)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "enqueued 1 order, and %d at once\n", len(receipts))

	bank := &bank{}
	if err := work(ctx, d, queue, bank, len(requests), out); err != nil {
		return err
	}
	dead, _, err := queue.DeadLetters().List(ctx, "", 100)
	if err != nil {
		return err
	}
	slices.SortFunc(dead, func(a, b batch.DeadLetter) int { return strings.Compare(a.ID, b.ID) })
	for _, l := range dead {
		fmt.Fprintf(out, "dead letter %s: %s, failures: %d, last error: %s\n", l.ID, l.Reason, l.Failures, l.LastError)
	}

	bank.refill()
	n, err := queue.DeadLetters().Redrive(ctx, "order-3")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "refilled the card of order 3, and redrove %d dead letter\n", n)
	if err := work(ctx, d, queue, bank, n, out); err != nil {
		return err
	}
	n, err = queue.DeadLetters().Purge(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "deleted %d dead letter\n", n)
	return nil
}

// work runs a worker until n jobs are done or dead, and prints what became of
// each, by its number.
func work(ctx context.Context, d batch.Driver, queue *batch.Queue[batch.Driver], bank *bank, n int, out io.Writer) error {
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue.Name(), Concurrency: 4}},
		Hooks:  []batch.Hook{bank},
		Log:    slog.New(slog.DiscardHandler), // the output is the program's alone
	})
	batch.Handle(w, bank.charge,
		batch.HandleMaxAttempts(3), batch.HandleRetry(batch.ConstantBackoff(100*time.Millisecond)))
	over := bank.expect(n)
	if err := w.Start(ctx); err != nil {
		return err
	}
	var failure error
	select {
	case <-over:
	case <-w.Failed():
		failure = errors.New("the worker cannot go on")
	case <-ctx.Done():
		failure = context.Cause(ctx)
	}
	// The worker tells the broker what became of the jobs before it stops.
	if err := errors.Join(failure, w.Stop(ctx)); err != nil {
		return err
	}
	for _, line := range bank.statement() {
		fmt.Fprintln(out, line)
	}
	return nil
}

// bank is where cards are charged.
type bank struct {
	mu       sync.Mutex // guards following
	refilled bool
	lines    map[string]string // what became of a job, by its ID
	expected int
	over     chan struct{} // closed when that is known of all expected jobs
}

// charge handles a job.
func (b *bank) charge(_ context.Context, job *batch.Job[Charge]) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch card := job.Args.Card; {
	case card == "busy" && job.Attempt == 1:
		return errors.New("the bank is busy")
	case card == "empty" && !b.refilled:
		return errors.New("the card is empty")
	case card == "stolen":
		return batch.Permanent(errors.New("the card is stolen"))
	}
	return nil
}

// OnJobEnd notes what becomes of a job.
func (b *bank) OnJobEnd(_ context.Context, e batch.JobEnd) {
	if e.Verdict.Outcome != batch.OutcomeDone && e.Verdict.Outcome != batch.OutcomeDead {
		return // it comes again
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	line := fmt.Sprintf("%s (%s) is %s in attempt %d of %d", e.Job.ID, e.Job.Headers["shop"], e.Verdict.Outcome, e.Job.Attempt, e.Job.MaxAttempts)
	if e.Err != nil {
		line += ": " + e.Err.Error()
	}
	b.lines[e.Job.ID] = line
	if len(b.lines) == b.expected {
		close(b.over)
		b.expected = 0
	}
}

// expect begins a new statement of n jobs.
func (b *bank) expect(n int) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines, b.expected, b.over = make(map[string]string), n, make(chan struct{})
	return b.over
}

// statement has a line for each job.
func (b *bank) statement() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Sorted(maps.Values(b.lines))
}

// refill puts money on the card that is empty.
func (b *bank) refill() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refilled = true
}
