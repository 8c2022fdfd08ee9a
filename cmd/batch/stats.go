package main

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/depths"
)

// statsCommand counts the jobs of queues.
func (a *app) statsCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "stats [queue ...]",
		GroupID: groupLook,
		Short:   "Count the jobs of queues by state",
		Long: `Count the jobs of the named queues, or of all, by state. It costs little, however
many jobs there are.

  waiting     ready to be handed to a worker
  scheduled   held back: delayed, or between two attempts
  due         how many of those have reached their time and wait for a worker
  running     handed to a worker
  dead        dead letters: see batch dead list
  age         how long the oldest waiting job has waited

A count that the broker cannot tell is ?, or null in JSON.`,
		Example: `  batch stats
  batch stats emails reports
  batch stats -json | jq -r 'select(.dead > 0) | .queue'`,
		ValidArgsFunction: a.completeQueue(true),
		RunE: func(c *cobra.Command, names []string) error {
			ctx := c.Context()
			return a.on(ctx, func(d batch.Driver) error {
				if len(names) == 0 {
					var err error
					if names, err = a.listQueues(ctx, d, "batch stats emails reports"); err != nil {
						return err
					}
				}
				records, err := a.depths(ctx, d, names)
				if err != nil && len(records) == 0 {
					return err
				}
				return errors.Join(a.showDepths(records), err)
			})
		},
	}
}

// depths counts the jobs of queues, in their order. The error is that of the first queue
// whose count failed; the others are counted nevertheless.
func (a *app) depths(ctx context.Context, d batch.Driver, names []string) ([]depthRecord, error) {
	records, errs := make([]depthRecord, len(names)), make([]error, len(names))
	depths.Each(len(names), func(i int) { records[i], errs[i] = a.depth(ctx, d, names[i]) })
	var found []depthRecord
	for i, err := range errs {
		if err == nil {
			found = append(found, records[i])
		}
	}
	return found, firstError(errs)
}

// firstError is the first of errs that is one.
func firstError(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// depth counts the jobs of one queue.
func (a *app) depth(ctx context.Context, d batch.Driver, name string) (depthRecord, error) {
	q, err := batch.Admin(d, name)
	if err != nil {
		return depthRecord{}, err
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	depth, err := q.Depth(ctx)
	if err != nil {
		return depthRecord{}, err
	}
	var paused *bool
	if q.CanPause() {
		is, err := q.Paused(ctx)
		if err != nil {
			return depthRecord{}, err
		}
		paused = &is
	}
	return depthOf(name, depth, paused), nil
}

// showDepths prints the counts.
func (a *app) showDepths(records []depthRecord) error {
	if a.json {
		for _, r := range records {
			if err := a.print(r); err != nil {
				return err
			}
		}
		return nil
	}
	t := newTable("QUEUE", ">WAITING", ">SCHEDULED", ">DUE", ">RUNNING", ">DEAD", ">AGE", "")
	for _, r := range records {
		dead := count(r.Dead)
		if r.Dead != nil && *r.Dead > 0 {
			dead.style = red
		}
		t.add(text(r.Queue), count(r.Waiting), count(r.Scheduled), count(r.Due), count(r.Running), dead, age(r.AgeSeconds), paused(r.Paused))
	}
	return a.show(t)
}

// unknown is what is shown of a count that the broker cannot tell.
var unknown = cell{"?", faint}

// count is the cell of a number of jobs.
func count(n *int64) cell {
	switch {
	case n == nil:
		return unknown
	case *n == 0:
		return cell{"0", faint}
	}
	return text(strconv.FormatInt(*n, 10))
}

// age is the cell of how long the oldest waiting job has waited.
func age(seconds *float64) cell {
	switch {
	case seconds == nil:
		return unknown
	case *seconds == 0:
		return cell{"-", faint}
	}
	return text(short(time.Duration(*seconds * float64(time.Second))))
}

// paused is the cell of a queue that hands out no jobs.
func paused(is *bool) cell {
	if is != nil && *is {
		return cell{"paused", yellow}
	}
	return text("")
}

// short is a duration in at most two units, as people say it: 3d4h, 5m12s, 0.4s.
func short(d time.Duration) string {
	const day = 24 * time.Hour
	part := func(n time.Duration, unit string) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(int(n)) + unit
	}
	switch {
	case d < 10*time.Second:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + "s"
	case d < time.Minute:
		return part(d/time.Second, "s")
	case d < time.Hour:
		return part(d/time.Minute, "m") + part(d%time.Minute/time.Second, "s")
	case d < day:
		return part(d/time.Hour, "h") + part(d%time.Hour/time.Minute, "m")
	}
	return part(d/day, "d") + part(d%day/time.Hour, "h")
}
