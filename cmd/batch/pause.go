package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
)

// pauseCommand stops the broker from handing out jobs.
func (a *app) pauseCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "pause <queue> ...",
		GroupID: groupChange,
		Short:   "Stop handing out the jobs of queues",
		Long: `Stop the broker from handing out the jobs of queues to any worker, until batch resume.
Jobs that workers hold still run, and new ones can be enqueued. RabbitMQ and SQS cannot.`,
		Example:           `  batch pause emails`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeQueue(true),
		RunE: func(c *cobra.Command, names []string) error {
			return a.setPaused(c.Context(), names, true, (*batch.QueueAdmin).Pause)
		},
	}
}

// resumeCommand ends a pause.
func (a *app) resumeCommand() *cobra.Command {
	return &cobra.Command{
		Use:               "resume <queue> ...",
		GroupID:           groupChange,
		Short:             "Hand out the jobs of paused queues again",
		Long:              `End a batch pause. A queue that is not paused stays as it is.`,
		Example:           `  batch resume emails`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeQueue(true),
		RunE: func(c *cobra.Command, names []string) error {
			return a.setPaused(c.Context(), names, false, (*batch.QueueAdmin).Resume)
		},
	}
}

// setPaused pauses or resumes queues, one after the other, and says so for each. One that is
// not there does not keep it from the others.
func (a *app) setPaused(ctx context.Context, names []string, to bool, set func(*batch.QueueAdmin, context.Context) error) error {
	return a.on(ctx, func(d batch.Driver) error {
		queues := make([]*batch.QueueAdmin, len(names))
		for i, name := range names { // before anything is done
			var err error
			if queues[i], err = batch.Admin(d, name); err != nil {
				return err
			}
		}
		var missing error
		for _, q := range queues {
			within, cancel := a.within(ctx)
			err := set(q, within)
			cancel()
			switch {
			case errors.Is(err, batch.ErrNotFound):
				missing = errors.Join(missing, err)
				continue
			case err == nil:
				err = a.sayPaused(q.Name(), to)
			}
			if err != nil {
				return errors.Join(err, missing)
			}
		}
		return missing
	})
}

// sayPaused says that a queue was paused or resumed.
func (a *app) sayPaused(queue string, is bool) error {
	switch {
	case a.json:
		return a.print(struct {
			Queue  string `json:"queue"`
			Paused bool   `json:"paused"`
		}{queue, is})
	case is:
		return a.say("paused %s", queue)
	}
	return a.say("resumed %s", queue)
}
