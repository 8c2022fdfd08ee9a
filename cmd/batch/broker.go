package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
)

// closeTimeout bounds the end of a connection. JetStream in a folder writes its files then,
// which takes 11 s with 300 queues.
const closeTimeout = 30 * time.Second

// brokerURL is the URL that the user has named.
func (a *app) brokerURL() (string, error) {
	if a.url != "" {
		return a.url, nil
	}
	if url := a.env("BATCH_URL"); url != "" {
		return url, nil
	}
	return "", usage("no broker is named: pass --url or set BATCH_URL, to redis://localhost:6379 for example")
}

// on runs do with a connection to the broker, and ends that.
func (a *app) on(ctx context.Context, do func(d batch.Driver) error) (err error) {
	url, err := a.brokerURL()
	if err != nil {
		return err
	}
	opening, cancel := a.within(ctx)
	d, err := batch.Open[batch.Driver](opening, url)
	cancel()
	if err != nil {
		return err
	}
	defer func() {
		// What is to be done on it is done, whatever has ended ctx.
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		if closed := d.Close(closing); err == nil {
			err = closed
		}
	}()
	return do(d)
}

// onQueue is on with the handle on a queue. A name that is none is refused before.
func (a *app) onQueue(ctx context.Context, queue string, do func(q *batch.QueueAdmin) error) error {
	return a.on(ctx, func(d batch.Driver) error {
		q, err := batch.Admin(d, queue)
		if err != nil {
			return err
		}
		return do(q)
	})
}

// product is how the broker calls itself, with its version.
func product(d batch.Driver) string {
	info := d.Info()
	return printable(strings.TrimSpace(info.Broker + " " + info.Version))
}

// completionTimeout bounds the look at the broker for one press of the tab key.
const completionTimeout = 2 * time.Second

// completeQueue completes the first argument, or with every each argument, by the names of
// the queues that the broker lists. A broker that cannot be reached completes nothing.
func (a *app) completeQueue(every bool) cobra.CompletionFunc {
	return func(c *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 && !every {
			return nil, none
		}
		ctx := c.Context()
		if ctx == nil {
			ctx = context.Background()
		}
		ctx, cancel := context.WithTimeout(ctx, completionTimeout)
		defer cancel()
		var names []string
		_ = a.on(ctx, func(d batch.Driver) (err error) { // there is nobody to tell
			names, err = batch.AdminQueues(ctx, d)
			names = slices.DeleteFunc(names, func(name string) bool { // a shell takes any line for a name
				_, err := batch.Admin(d, name)
				return err != nil
			})
			return err
		})
		return names, none
	}
}
