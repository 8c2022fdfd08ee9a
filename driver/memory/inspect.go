package memory

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/batch-go/batch/driver"
)

// List lists jobs in one state, in O(log n) and the page. Waiting jobs come by
// level and place, those that stand behind another of their group among them.
func (d *Driver) List(ctx context.Context, queue string, state driver.State, from string, max int) ([]driver.Entry, string, error) {
	const op = "list"
	if err := checkPage(op, queue, max); err != nil {
		return nil, "", err
	}
	if state < driver.Waiting || state > driver.DeadLettered {
		return nil, "", refuse(op, queue, driver.ErrConfig, fmt.Errorf("state %d is none", state), "")
	}
	c, err := parseCursor(op, queue, state, from)
	if err != nil {
		return nil, "", err
	}
	q, _, err := d.lock(ctx, op, queue)
	if err != nil {
		return nil, "", err
	}
	defer q.mu.Unlock()
	var page []driver.Entry
	var last *job
	next := ""
	q.walk(state, c, func(j *job) bool {
		if len(page) == max {
			next = cursorOf(last).text(state)
			return false
		}
		page = append(page, j.entry(d.b, state))
		last = j
		return true
	})
	return page, next, nil
}

// Find reads the queue until it finds the job.
func (d *Driver) Find(ctx context.Context, queue string, id string) (driver.Entry, error) {
	q, _, err := d.lock(ctx, "find", queue)
	if err != nil {
		return driver.Entry{}, err
	}
	defer q.mu.Unlock()
	j, state := q.find(id)
	if j == nil {
		return driver.Entry{}, refuse("find", queue, driver.ErrNotFound, fmt.Errorf("no job %s waits, is scheduled or dead", id), "")
	}
	return j.entry(d.b, state), nil
}

// Delete reads the queue until it finds the job, and removes it. Its dedup key
// stays remembered.
func (d *Driver) Delete(ctx context.Context, queue string, id string) error {
	q, now, err := d.lock(ctx, "delete", queue)
	if err != nil {
		return err
	}
	defer q.leave(now)
	j, state := q.find(id)
	if j == nil {
		return refuse("delete", queue, driver.ErrNotFound, fmt.Errorf("no job %s waits, is scheduled or dead", id), "")
	}
	switch state {
	case driver.DeadLettered:
		q.dig(j)
	case driver.Scheduled:
		q.scheduled.remove(j)
		q.leaveGroup(j)
	case driver.Waiting:
		if j.msg.Group != "" && q.groups.first(j.msg.Group) != j {
			q.parked[j.rank()].remove(j)
			q.nparked--
		} else {
			q.ready[j.rank()].remove(j)
			q.nready--
		}
		q.leaveGroup(j)
	}
	d.b.room.free(j.size, 1)
	return nil
}

// find looks for a job by its ID in every state but running. q.mu must be held,
// as for all that follows.
func (q *queue) find(id string) (found *job, state driver.State) {
	if j := q.deadID.first(id); j != nil {
		return j, driver.DeadLettered
	}
	for _, state = range []driver.State{driver.Waiting, driver.Scheduled} {
		q.walk(state, cursor{}, func(j *job) bool {
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

// walk calls yield with the jobs of a state behind a position, in their order,
// until it returns false.
func (q *queue) walk(state driver.State, c cursor, yield func(*job) bool) {
	switch state {
	case driver.Scheduled:
		r := q.scheduled.after(c.at, c.place)
		for j := r.peek(); j != nil && yield(j); j = r.peek() {
			r.skip()
		}
	case driver.DeadLettered:
		r := q.dead.after(c.at, c.place)
		for j := r.peek(); j != nil && yield(j); j = r.peek() {
			r.skip()
		}
	case driver.Waiting:
		for rank := c.rank; rank < levels; rank++ {
			ready := q.ready[rank].after(0, c.place)
			parked := q.parked[rank].after(0, c.place)
			for {
				j, r := ready.peek(), &ready
				if p := parked.peek(); p != nil && (j == nil || p.place < j.place) {
					j, r = p, &parked
				}
				if j == nil {
					break
				}
				if !yield(j) {
					return
				}
				r.skip()
			}
			c.place = 0 // the cursor's place is of its own level only
		}
	}
}

// cursor is the position of the last job of a page: its line and its order in
// it. Jobs that were added or removed since leave it valid.
type cursor struct {
	rank  int // of waiting jobs
	at    instant
	place uint64
}

func cursorOf(j *job) cursor { return cursor{rank: j.rank(), at: j.at, place: j.place} }

// String is the cursor as the caller carries it, for lists in that state.
func (c cursor) text(state driver.State) string {
	return fmt.Sprintf("%s.%d.%d.%d", state, c.rank, c.at, c.place)
}

// parseCursor reads what text wrote; empty is the position before everything.
func parseCursor(op, queue string, state driver.State, text string) (cursor, error) {
	if text == "" {
		return cursor{}, nil
	}
	parts := strings.Split(text, ".")
	if len(parts) == 4 && parts[0] == state.String() {
		rank, err1 := strconv.ParseUint(parts[1], 10, 8)
		at, err2 := strconv.ParseUint(parts[2], 10, 63)
		place, err3 := strconv.ParseUint(parts[3], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil && rank < levels {
			return cursor{rank: int(rank), at: instant(at), place: place}, nil
		}
	}
	return cursor{}, refuse(op, queue, driver.ErrConfig, fmt.Errorf("%q is not a cursor of such a list", text), "")
}

// checkPage is nil, or an error if max is out of its bounds.
func checkPage(op, queue string, max int) error {
	if max < 1 || max > 1000 {
		return refuse(op, queue, driver.ErrConfig, fmt.Errorf("max is %d, which is not from 1 to 1000", max), "")
	}
	return nil
}
