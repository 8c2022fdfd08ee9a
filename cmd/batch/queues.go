package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
)

// queuesCommand lists the names of queues.
func (a *app) queuesCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "queues",
		GroupID: groupLook,
		Short:   "List the queues of the broker",
		Long: `List the names of the queues that were declared, one a line.

RabbitMQ cannot list them: AMQP has no such request.`,
		Example: `  batch queues
  for q in $(batch queues); do batch dead redrive "$q" --all; done`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return a.on(c.Context(), func(d batch.Driver) error {
				names, err := a.listQueues(c.Context(), d, "batch stats emails reports")
				if err != nil {
					return err
				}
				for _, name := range names {
					if a.json {
						err = a.print(struct {
							Queue string `json:"queue"`
						}{name})
					} else {
						err = a.say("%s", printable(name))
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

// listQueues lists the queues of the broker. Where it cannot, the error says what to do, with an example.
func (a *app) listQueues(ctx context.Context, d batch.Driver, example string) ([]string, error) {
	ctx, cancel := a.within(ctx)
	defer cancel()
	names, err := batch.AdminQueues(ctx, d)
	if errors.Is(err, batch.ErrCapability) {
		return nil, fmt.Errorf("%w: name the queues, as in %s", err, example)
	}
	return names, err
}
