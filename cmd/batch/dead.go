package main

import (
	"errors"
	"maps"
	"time"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
)

// deadCommand has the commands for dead letters.
func (a *app) deadCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "dead",
		GroupID: groupLook,
		Short:   "List, redrive or purge dead letters",
		Long: `Dead letters are jobs that will not run again by themselves: their attempts are spent,
or no retry can help. They stay until you redrive or purge them.`,
	}
	c.AddCommand(a.deadListCommand(), a.deadRedriveCommand(), a.deadPurgeCommand())
	return c
}

// deadListCommand lists dead letters.
func (a *app) deadListCommand() *cobra.Command {
	var s selection
	var limit int
	var body bool
	c := &cobra.Command{
		Use:   "list <queue> [id ...]",
		Short: "List dead letters with the reason and the last error",
		Long: `List the dead letters of a queue, oldest first. Nothing is consumed.

On RabbitMQ and SQS it is costly: these brokers can look at dead letters only by
taking them, so that each page of a thousand reads all there are. batch stats
counts them at no cost.

Bodies and headers may hold what is nobody's business, and are shown with --body only.`,
		Example: `  batch dead list emails
  batch dead list emails --kind email.welcome --limit 0
  batch dead list emails 0199a2c4 --body -json`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			if limit < 0 {
				return usage("--limit is %d, and must be 0 or more", limit)
			}
			if err := s.take(c, args[1:]); err != nil {
				return err
			}
			return a.onQueue(c.Context(), args[0], func(q *batch.QueueAdmin) error {
				a.warnOfCost(q.Driver())
				return a.listLetters(c, q, &s, limit, body)
			})
		},
	}
	s.flags(c, "")
	c.Flags().IntVar(&limit, "limit", 50, "how many to list, unless IDs are named; 0 for all")
	c.Flags().BoolVar(&body, "body", false, "show bodies and headers")
	return c
}

// listLetters prints the dead letters that are selected: as they come for programs, and as
// one table for people.
func (a *app) listLetters(c *cobra.Command, q *batch.QueueAdmin, s *selection, limit int, body bool) error {
	ctx, page, n := c.Context(), pageSize, 0
	left := maps.Clone(s.named) // the IDs that were not found yet
	switch {
	case len(s.ids) > 0:
		limit = 0
	case limit > 0 && limit < pageSize && !s.filtered():
		page = limit
	}
	list := newJobList(a, q.Name(), body, "ID", "KIND", "REASON", ">FAILURES", ">DIED", "LAST ERROR")
	more, err := a.eachLetter(ctx, q, s, page, func(l *batch.DeadLetter) (bool, error) {
		n++
		delete(left, l.ID)
		e := l.Entry()
		return n != limit && (len(s.ids) == 0 || len(left) > 0), list.add(&e, text(e.ID), text(e.Kind), text(e.Reason), number(e.Failures), ago(e.DeadAt), text(e.LastError))
	})
	if err != nil {
		return errors.Join(list.endEarly(), err)
	}
	if err := list.end(); err != nil {
		return err
	}
	if more && len(s.ids) == 0 {
		a.note("there may be more: these are the first %d; --limit 0 lists all", n)
	}
	if len(left) > 0 {
		return notThere(q.Name(), len(left), len(s.ids))
	}
	return nil
}

// ago is the cell of how long ago something was.
func ago(t time.Time) cell {
	if t.IsZero() {
		return unknown
	}
	return text(short(max(time.Since(t), 0)) + " ago")
}
