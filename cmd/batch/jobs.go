package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
)

// jobsCommand has the commands for single jobs.
func (a *app) jobsCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "jobs",
		GroupID: groupLook,
		Short:   "List, find or delete jobs",
		Long: `Look at the jobs of a queue without consuming them, where the broker allows it: Redis,
NATS JetStream and JetStream in a folder. RabbitMQ and SQS can look at a job only by
handing it out. There, see batch stats and batch dead list.`,
	}
	c.AddCommand(a.jobsListCommand(), a.jobsFindCommand(), a.jobsDeleteCommand())
	return c
}

// states are those that a job can be listed in.
var states = map[string]batch.State{
	batch.StateWaiting.String():   batch.StateWaiting,
	batch.StateScheduled.String(): batch.StateScheduled,
	batch.StateDead.String():      batch.StateDead,
}

// jobsListCommand lists the jobs of one state.
func (a *app) jobsListCommand() *cobra.Command {
	var state string
	var limit int
	var body bool
	c := &cobra.Command{
		Use:   "list <queue>",
		Short: "List waiting, scheduled or dead jobs",
		Long: `List the jobs of a queue that are in a state. Jobs that a worker holds are in none of
them.

Bodies and headers may hold what is nobody's business, and are shown with --body only.`,
		Example: `  batch jobs list emails
  batch jobs list emails --state scheduled --limit 0 -json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			wanted, ok := states[state]
			if !ok {
				return usage("--state is %q, and must be waiting, scheduled or dead", state)
			}
			if limit < 0 {
				return usage("--limit is %d, and must be 0 or more", limit)
			}
			return a.onQueue(c.Context(), args[0], func(q *batch.QueueAdmin) error {
				return a.listJobs(c.Context(), q, wanted, limit, body)
			})
		},
	}
	c.Flags().StringVar(&state, "state", "waiting", "waiting, scheduled or dead")
	c.Flags().IntVar(&limit, "limit", 50, "how many to list; 0 for all")
	c.Flags().BoolVar(&body, "body", false, "show bodies and headers")
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"waiting", "scheduled", "dead"}, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
	return c
}

// jobColumns are those of a list of jobs.
var jobColumns = []string{"ID", "KIND", "STATE", "LEVEL", ">FAILURES", ">ENQUEUED", ">DUE", "LAST ERROR"}

// jobCells are the fields of a job.
func jobCells(e *batch.Entry) []cell {
	due := text("")
	if !e.DueAt.IsZero() {
		due = text("in " + short(max(time.Until(e.DueAt), 0)))
	}
	return []cell{text(e.ID), text(e.Kind), text(e.State.String()), text(e.Level.String()), number(e.Failures), ago(e.EnqueuedAt), due, text(e.LastError)}
}

// listJobs prints jobs of a state.
func (a *app) listJobs(ctx context.Context, q *batch.QueueAdmin, state batch.State, limit int, body bool) error {
	list, n := newJobList(a, q.Name(), body, jobColumns...), 0
	for cursor := ""; ; {
		page := pageSize
		if limit > 0 {
			page = min(page, limit-n)
		}
		within, cancel := a.within(ctx)
		jobs, next, err := q.ListJobs(within, state, cursor, page)
		cancel()
		if err != nil {
			return errors.Join(list.endEarly(), err)
		}
		for i := range jobs {
			if err := list.add(&jobs[i], jobCells(&jobs[i])...); err != nil {
				return err
			}
		}
		if n += len(jobs); next == "" || n == limit {
			if next != "" {
				a.note("there are more: these are the first %d; --limit 0 lists all", n)
			}
			return list.end()
		}
		cursor = next
	}
}

// jobsFindCommand shows one job.
func (a *app) jobsFindCommand() *cobra.Command {
	var body bool
	c := &cobra.Command{
		Use:   "find <queue> <id>",
		Short: "Show the job with an ID",
		Long: `Show the job with an ID if it is waiting, scheduled or dead. One that a worker holds is
not found. It may read the whole queue.`,
		Example:           `  batch jobs find emails 0199a2c4 --body`,
		Args:              cobra.ExactArgs(2),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			return a.onQueue(c.Context(), args[0], func(q *batch.QueueAdmin) error {
				ctx, cancel := a.within(c.Context())
				defer cancel()
				found, err := q.FindJob(ctx, args[1])
				if err != nil {
					return err
				}
				list := newJobList(a, q.Name(), body, jobColumns...)
				return errors.Join(list.add(&found, jobCells(&found)...), list.end())
			})
		},
	}
	c.Flags().BoolVar(&body, "body", false, "show body and headers")
	return c
}

// jobsDeleteCommand removes jobs.
func (a *app) jobsDeleteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "delete <queue> <id> ...",
		Short: "Delete jobs for good",
		Long: `Delete the jobs with these IDs for good, if they are waiting, scheduled or dead. It asks
before, unless you say --yes. One that a worker holds is not found.`,
		Example: `  batch jobs delete emails 0199a2c4
  batch jobs delete emails 0199a2c4 0199a2c5 --yes`,
		Args:              cobra.MinimumNArgs(2),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			return a.onQueue(c.Context(), args[0], func(q *batch.QueueAdmin) error { return a.deleteJobs(c.Context(), q, once(args[1:])) })
		},
	}
	return a.destructive(c)
}

// deleteJobs deletes jobs, one after the other, and says which are gone.
func (a *app) deleteJobs(ctx context.Context, q *batch.QueueAdmin, ids []string) error {
	if q.CanInspect() { // else the first delete says that it cannot
		if err := a.confirm(ctx, "Delete %d %s of queue %s on %s? They are gone for good.", len(ids), plural(len(ids), "job", "jobs"), q.Name(), product(q.Driver())); err != nil {
			return err
		}
	}
	var missing int
	for _, id := range ids {
		within, cancel := a.within(ctx)
		err := q.DeleteJob(within, id)
		cancel()
		absent := errors.Is(err, batch.ErrNotFound)
		if err != nil && !absent {
			return err
		}
		if absent {
			missing++
		}
		if err := a.deleted(q.Name(), id, !absent); err != nil {
			return err
		}
	}
	if missing > 0 {
		return fmt.Errorf("queue %s has no %s with %d of these %d IDs: %w", q.Name(), plural(missing, "job", "jobs"), missing, len(ids), batch.ErrNotFound)
	}
	return nil
}

// deleted says what became of one job.
func (a *app) deleted(queue, id string, gone bool) error {
	if a.json {
		return a.print(struct {
			Queue   string `json:"queue"`
			ID      string `json:"id"`
			Deleted bool   `json:"deleted"`
		}{queue, id, gone})
	}
	if !gone {
		return a.say("%s is not there", printable(id))
	}
	return a.say("deleted %s", printable(id))
}
