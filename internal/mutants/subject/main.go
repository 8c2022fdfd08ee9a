// Command subject runs cases of package conformance on the memory driver. Package mutants builds it with mutants.
//
//	subject [-small] [CASE ...]    run these cases, or all
//
// It prints a line for each case that found something, and ends with status 1 if one did.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/fault"
)

func main() {
	small := flag.Bool("small", false, "the driver has small limits")
	slack := flag.Duration("slack", 300*time.Millisecond, "by how much more than promised something may be late")
	verbose := flag.Bool("v", false, "print all that a case says")
	flag.Parse()
	var names []string
	for _, c := range conformance.Cases() {
		if slices.Contains(flag.Args(), c.Name) || flag.NArg() == 0 {
			names = append(names, c.Name)
		}
	}
	if flag.NArg() > len(names) {
		fmt.Fprintln(os.Stderr, "subject: some of these are no cases:", flag.Args())
		os.Exit(2)
	}
	if !run(names, *small, *slack, *verbose) {
		os.Exit(1)
	}
}

// run runs the cases beside each other, each on a broker of its own, and tells whether all were passed.
func run(names []string, small bool, slack time.Duration, verbose bool) bool {
	var all sync.WaitGroup
	var mu sync.Mutex
	passed := true
	slots := make(chan struct{}, 24)
	for _, c := range conformance.Cases() {
		if !slices.Contains(names, c.Name) {
			continue
		}
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			h, err := harness(small, slack)
			if err == nil {
				err = c.Run(context.Background(), h)
			}
			if err == nil || errors.Is(err, conformance.ErrNotApplicable) {
				return
			}
			text := err.Error()
			if !verbose {
				text, _, _ = strings.Cut(text, "\n")
			}
			mu.Lock()
			defer mu.Unlock()
			passed = false
			fmt.Printf("%s: %s\n", c.Name, text)
		})
	}
	all.Wait()
	return passed
}

// harness is that of a new broker.
func harness(small bool, slack time.Duration) (conformance.Harness, error) {
	b, err := memory.NewBroker(memory.Options{DedupWindow: 3 * time.Second})
	if err != nil {
		return conformance.Harness{}, err
	}
	other, err := memory.NewBroker(memory.Options{})
	return conformance.Harness{
		Open: func(context.Context) (driver.Driver, error) {
			d, err := b.Open()
			if err != nil || !small {
				return d, err
			}
			return limited{d}, nil
		},
		Lease: 500 * time.Millisecond, Slack: slack, Timeout: 20 * time.Second,
		Restart:      func(context.Context) error { b.Crash(); return nil },
		Transactions: transactions(b),
		OpenOther:    func(context.Context) (driver.Driver, error) { return other.Open() },
	}, err
}

// transactions are those of an application, each by a handle of its own: the broker may have crashed meanwhile.
func transactions(b *memory.Broker) *conformance.Transactions {
	return conformance.TransactionsOf(func(ctx context.Context) (*memory.Tx, conformance.TxEnd, error) {
		d, err := b.Open()
		if err != nil {
			return nil, conformance.TxEnd{}, err
		}
		tx, err := d.Begin(ctx)
		closing := func(end func(context.Context) error) func(context.Context) error {
			return func(ctx context.Context) error { return errors.Join(end(ctx), d.Close(ctx)) }
		}
		return tx, conformance.TxEnd{Commit: closing(tx.Commit), Rollback: closing(tx.Rollback)}, err
	})
}

// limited is the memory driver with the small limits that some brokers have, and with several receivers.
type limited struct{ *memory.Driver }

// Info has the limits.
func (d limited) Info() driver.Info {
	info := d.Driver.Info()
	l := &info.Limits
	l.EnqueueBatch, l.ReceiveBatch, l.SettleBatch, l.ExtendBatch = 10, 10, 10, 10
	l.Receivers, l.Publishers = 4, 4
	return info
}

// Consume opens a consumer with those of Receive.
func (d limited) Consume(ctx context.Context, queue string, o driver.ConsumeOptions) (driver.Consumer, error) {
	c, err := d.Driver.Consume(ctx, queue, o)
	return limitedConsumer{c, queue, d.Info().Limits.ReceiveBatch}, err
}

// limitedConsumer receives at most so many jobs at a time.
type limitedConsumer struct {
	driver.Consumer
	queue string
	most  int
}

// Receive refuses what is beyond that.
func (c limitedConsumer) Receive(ctx context.Context, max int) ([]*driver.Delivery, error) {
	if max > c.most {
		return nil, fault.Maker{Driver: memory.Name}.CheckReceive(c.queue, max, c.most)
	}
	return c.Consumer.Receive(ctx, max)
}
