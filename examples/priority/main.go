// Command priority shows what a capability set is. The program says once, in
// Broker, what it relies on, and then works on every broker that has it:
//
//	go run ./examples/priority
//
// It enqueues messages of different priorities before a worker runs, and prints
// the order in which they were worked on. BATCH_URL moves it to another broker
// and defaults to memory://.
//
// A broker without priorities is refused by the compiler: see the folder
// refused. A broker that is named by URL would be refused by [batch.Open] when the
// program starts; both of these have priorities.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/batch-go/batch"

	// The drivers that BATCH_URL may name.
	_ "github.com/batch-go/batch/driver/memory"
	_ "github.com/batch-go/batch/driver/redis"
)

// Broker is what this program relies on, and all that it knows of the broker.
type Broker interface {
	batch.Prioritizer
	batch.Delayer
}

// Message is a job.
type Message struct {
	Text string `json:"text"`
}

// Kind is the job's name on the wire.
func (Message) Kind() string { return "priority.message" }

func main() {
	url := os.Getenv("BATCH_URL")
	if url == "" {
		url = "memory://"
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d, err := batch.Open[Broker](ctx, url)
	if err == nil {
		defer d.Close(ctx)
		err = run(ctx, d, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "priority:", err)
		os.Exit(1)
	}
}

// run enqueues, works and prints.
func run(ctx context.Context, d Broker, out io.Writer) error {
	info := d.Info()
	fmt.Fprintf(out, "%s %s has: %v\n", info.Broker, info.Version, batch.Capabilities(d))

	queue := batch.NewQueue(d, "priority-example")
	if err := queue.Delete(ctx); err != nil { // left by a run that was killed
		return err
	}
	n, err := enqueue(ctx, queue, out)
	if err != nil {
		return err
	}
	if err := work(ctx, d, queue.Name(), n, out); err != nil {
		return err
	}
	return queue.Delete(ctx)
}

// enqueue stores the messages and returns how many there are.
func enqueue(ctx context.Context, queue *batch.Queue[Broker], out io.Writer) (int, error) {
	requests := []batch.Request[Broker]{
		{Args: Message{"clean up"}, Options: []batch.Option[Broker]{batch.Priority(queue, batch.Trivial)}},
		{Args: Message{"newsletter"}, Options: []batch.Option[Broker]{batch.Priority(queue, batch.Low)}},
		{Args: Message{"receipt"}},
		{Args: Message{"password reset"}, Options: []batch.Option[Broker]{batch.Priority(queue, batch.High)}},
		{Args: Message{"alarm"}, Options: []batch.Option[Broker]{batch.Priority(queue, batch.Critical)}},
		{Args: Message{"alarm, half a second late"}, Options: []batch.Option[Broker]{
			batch.Priority(queue, batch.Critical), batch.Delay(queue, 500*time.Millisecond),
		}},
	}
	for i, r := range requests {
		if _, err := queue.Enqueue(ctx, r.Args, r.Options...); err != nil {
			return 0, err
		}
		fmt.Fprintf(out, "enqueued %d: %s\n", i+1, r.Args.(Message).Text)
	}
	return len(requests), nil
}

// work runs one job after the other until n have run. Without prefetching the
// order is the broker's.
func work(ctx context.Context, d Broker, queue string, n int, out io.Writer) error {
	w := batch.NewWorker(d, batch.WorkerConfig{
		Queues: []batch.WorkerQueue{{Name: queue, Concurrency: 1, Prefetch: batch.NoPrefetch}},
		Log:    slog.New(slog.DiscardHandler), // the output is the program's alone
	})
	ran := make(chan string, n)
	batch.Handle(w, func(_ context.Context, job *batch.Job[Message]) error {
		ran <- job.Args.Text
		return nil
	})
	if err := w.Start(ctx); err != nil {
		return err
	}
	for i := range n {
		select {
		case text := <-ran:
			fmt.Fprintf(out, "ran %d: %s\n", i+1, text)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return w.Stop(ctx)
}
