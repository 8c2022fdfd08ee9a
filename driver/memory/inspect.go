package memory

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/driver"
)

// List lists jobs in one state, in O(log n + max). Waiting jobs come by level and
// then by place, including those that wait for another of their group.
func (d *Driver) List(ctx context.Context, queue string, state driver.State, cursor string, max int) ([]driver.Entry, string, error) {
	const op = "list"
	if state < driver.StateWaiting || state > driver.StateDead {
		return nil, "", wrongArgument(op, queue, fmt.Errorf("state %d is none", state))
	}
	from, err := parsePage(op, queue, state, cursor, max)
	if err != nil {
		return nil, "", err
	}
	q, _, err := d.begin(ctx, op, queue)
	if err != nil {
		return nil, "", err
	}
	defer q.mu.Unlock()
	entries, next := page(&q.backlog, state, from, max, func(j *job) driver.Entry { return j.entry(q.clock, state) })
	return entries, next, nil
}

// Find reads the queue until it finds the job.
func (d *Driver) Find(ctx context.Context, queue string, id string) (driver.Entry, error) {
	q, _, err := d.begin(ctx, "find", queue)
	if err != nil {
		return driver.Entry{}, err
	}
	defer q.mu.Unlock()
	j, state := q.find(id)
	if j == nil {
		return driver.Entry{}, noSuchJob("find", queue, id)
	}
	return j.entry(q.clock, state), nil
}

// Delete reads the queue until it finds the job, and removes it.
func (d *Driver) Delete(ctx context.Context, queue string, id string) error {
	q, now, err := d.begin(ctx, "delete", queue)
	if err != nil {
		return err
	}
	defer q.end(now)
	j, state := q.find(id)
	if j == nil {
		return noSuchJob("delete", queue, id)
	}
	q.drop(j, state)
	return nil
}

// noSuchJob is the error of a job that was not found.
func noSuchJob(op, queue, id string) error {
	return faults.Refuse(op, queue, driver.ErrNotFound, fmt.Errorf("no job %s waits, is scheduled or dead", id), "")
}

// find looks for a job by its ID in every state but running.
func (b *backlog) find(id string) (found *job, state driver.State) {
	if j := b.deadByID.first(id); j != nil {
		return j, driver.StateDead
	}
	for _, state = range []driver.State{driver.StateWaiting, driver.StateScheduled} {
		b.walk(state, start, func(j *job) bool {
			if j.msg.ID == id {
				found = j
			}
			return found == nil
		})
		if found != nil {
			return found, state
		}
	}
	return nil, 0
}
