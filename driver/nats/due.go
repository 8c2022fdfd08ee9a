package nats

import (
	"context"
	"time"
)

const (
	// overdueAfter is how late a scheduled message is that the server has forgotten: one
	// under load may be some seconds late.
	overdueAfter = 5 * time.Second
	// listedDue is up to how many scheduled jobs Depth lists them to find the overdue.
	listedDue = 1000
)

// overdue returns those of some subjects of scheduled messages, in the order of their
// times, that should have been handed out by now.
func (n *names) overdue(subjects []string, now time.Time) []string {
	for i, s := range subjects {
		if due, _, ok := n.dueOf(s); ok && now.Sub(due) < overdueAfter {
			return subjects[:i]
		}
	}
	return subjects
}

// countDue counts the overdue jobs of a queue. Of many scheduled jobs it is the number
// that a consumer of this driver has seen last.
func (d *Driver) countDue(ctx context.Context, n *names, scheduled *consumerInfo) (int64, error) {
	switch {
	case scheduled.NumPending == 0:
		return 0, nil
	case scheduled.NumPending > listedDue:
		return min(n.due.Load(), scheduled.NumPending), nil
	}
	subjects, err := d.subjects(ctx, n, n.allLater())
	return int64(len(n.overdue(subjects, scheduled.Time))), err
}
