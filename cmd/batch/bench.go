package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
)

// benchCommand measures a broker.
func (a *app) benchCommand() *cobra.Command {
	var o benchOptions
	c := &cobra.Command{
		Use:     "bench",
		GroupID: groupBroker,
		Short:   "Measure how fast the broker takes and hands out jobs",
		Long: `Enqueue jobs that do nothing on a queue of their own, run them, and tell rates and
latencies as this machine sees them. The queue is deleted at the end, also after Ctrl-C.

  enqueue   --producers calls at the same time, each of --batch jobs; the latency is
            that of a call
  process   one worker with --concurrency handlers takes them
  single    one job at a time, on an idle queue: how long its enqueue takes, and how
            long until its handler starts

It loads the broker as much as it can, and on SQS it costs money: some
2 requests for 10 jobs, and for each single job 3.`,
		Example: `  batch bench
  batch bench --jobs 100000 --size 1000 --concurrency 500 -json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.on(c.Context(), func(d batch.Driver) error { return a.bench(c.Context(), d, o) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.queue, "queue", "", "the name of the queue to make and delete (default batch-bench- and a random part)")
	flags.IntVar(&o.jobs, "jobs", 10000, "how many jobs")
	flags.IntVar(&o.size, "size", 100, "bytes of body of each")
	flags.IntVar(&o.batch, "batch", 100, "jobs in one call of enqueue")
	flags.IntVar(&o.producers, "producers", 4, "calls of enqueue at the same time")
	flags.IntVar(&o.concurrency, "concurrency", 100, "handlers that run at the same time")
	flags.IntVar(&o.single, "single", 100, "jobs that are sent one at a time")
	return c
}

// bench measures on a queue of its own, which it deletes.
func (a *app) bench(ctx context.Context, d batch.Driver, o benchOptions) (err error) {
	if o.queue == "" {
		o.queue = "batch-bench-" + randomName()
	}
	q, err := batch.TryNewQueue(d, o.queue)
	if err != nil {
		return err
	}
	if err := a.refuseOthers(ctx, q); err != nil {
		return err
	}
	defer func() { // also of what a declaration made before it failed
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), benchCleanup)
		defer cancel()
		if deleted := q.Delete(clean); deleted != nil {
			err = errors.Join(err, fmt.Errorf("the queue %s may be left behind: %w", o.queue, deleted))
		}
	}()
	if err := a.declare(ctx, q); err != nil {
		return err
	}
	if !a.json {
		if err := a.say("%s, queue %s", product(d), o.queue); err != nil {
			return err
		}
	}
	b := &benchmark{app: a, queue: q, options: o, started: make(chan int, o.concurrency)}
	return b.run(ctx)
}

// refuseOthers refuses a queue that is there already.
func (a *app) refuseOthers(ctx context.Context, q *batch.Queue[batch.Driver]) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	there, err := q.Exists(ctx)
	if err != nil {
		return err
	}
	if there {
		return usage("queue %s exists: bench deletes the queue that it uses, so it takes a new one only", q.Name())
	}
	return nil
}

// declare makes the queue.
func (a *app) declare(ctx context.Context, q *batch.Queue[batch.Driver]) error {
	ctx, cancel := a.within(ctx)
	defer cancel()
	return q.Declare(ctx)
}

// randomName is a part of a name that nobody else has.
func randomName() string {
	b := make([]byte, 4)
	_, _ = rand.Read(b) // it never fails
	return hex.EncodeToString(b)
}
