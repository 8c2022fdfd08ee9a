package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// The places of a queue where jobs are, as inspect.lua numbers them; 1 to 5 and 16 to 20
// are the streams.
const (
	placeBehind = 6
	placeDue    = 7
	placeDead   = 8
)

// maxStep is how many jobs one step of a walk over a queue looks at, which is one script
// and takes the server some 2 ms. It ends early if they are large.
const maxStep = 500

// pageBudget is the number of bytes after which a page ends early.
const pageBudget = 8 << 20

// listedJob is a job as inspect.lua lists it.
type listedJob struct {
	job
	due time.Time // zero unless it is scheduled
}

// in is the job as one in a state.
func (e *listedJob) in(state driver.State) driver.Entry {
	return driver.Entry{
		Message: e.Message, State: state,
		Failures: e.failures, LastError: e.lastError, Deliveries: e.deliveries,
		Bounces: e.bounces, BouncedSince: e.bouncedSince,
		DueAt: e.due, Reason: e.reason, DeadAt: e.diedAt,
	}
}

// placesOf are the places where jobs of a state are, and none if there is no such
// state.
func placesOf(state driver.State) []int {
	switch state {
	case driver.StateWaiting:
		return []int{16, 1, 17, 2, 18, 3, 19, 4, 20, 5, placeBehind}
	case driver.StateScheduled:
		return []int{placeDue}
	case driver.StateDead:
		return []int{placeDead}
	}
	return nil
}

// stateIn is the state of the jobs in a place.
func stateIn(place int) driver.State {
	switch place {
	case placeDue:
		return driver.StateScheduled
	case placeDead:
		return driver.StateDead
	}
	return driver.StateWaiting
}

// List lists the jobs of a state. Waiting ones come level by level, then those
// that stand behind another of their group. A page ends early if its bodies
// would fill more than a few megabytes.
func (d *Driver) List(ctx context.Context, queue string, state driver.State, cursor string, max int) ([]driver.Entry, string, error) {
	places := placesOf(state)
	if places == nil {
		return nil, "", faults.Refuse("list", queue, driver.ErrConfig, fmt.Errorf("there is no state %d", state), "")
	}
	at, inside := 0, ""
	if cursor != "" {
		place, rest, _ := strings.Cut(cursor, "|")
		n, err := strconv.Atoi(place)
		for at < len(places) && places[at] != n {
			at++
		}
		if err != nil || at == len(places) {
			return nil, "", badCursor("list", queue)
		}
		inside = rest
	}
	var page []driver.Entry
	for ; at < len(places); at, inside = at+1, "" {
		list, next, err := d.page(ctx, "list", queue, places[at], inside, max-len(page))
		if err != nil {
			return nil, "", err
		}
		for i := range list {
			page = append(page, list[i].in(state))
		}
		if next != "" {
			return page, strconv.Itoa(places[at]) + "|" + next, nil
		}
		if len(page) == max && at+1 < len(places) {
			return page, strconv.Itoa(places[at+1]) + "|", nil
		}
	}
	return page, "", nil
}

// Find looks for a job in every place, step by step.
func (d *Driver) Find(ctx context.Context, queue, id string) (driver.Entry, error) {
	return d.search(ctx, "find", queue, id)
}

// Delete removes the job that Find would find, and frees its dedup key. It checks and
// removes in one step, so that a job which a consumer just got is left to it.
func (d *Driver) Delete(ctx context.Context, queue, id string) error {
	_, err := d.search(ctx, "delete", queue, id)
	return err
}

// searchOrder are the places in the order in which search goes through them. The first come
// again: a job that becomes due or is redriven meanwhile moves there.
var searchOrder = [...]int{1, 2, 3, 4, 5, placeBehind, placeDue, placeDead, 16, 17, 18, 19, 20, 1, 2, 3, 4, 5, placeBehind}

// search goes through all places until it finds the job, and deletes it there if
// op is delete.
func (d *Driver) search(ctx context.Context, op, queue, id string) (driver.Entry, error) {
	for _, place := range searchOrder {
		cursor := ""
		for {
			found, next, _, err := d.step(ctx, queue, place, cursor, maxStep, op, id)
			if err == nil && next != "" && next == cursor {
				err = errReply // it would go on for ever
			}
			if err != nil {
				return driver.Entry{}, fail(op, queue, err)
			}
			if len(found) > 0 {
				return found[0].in(stateIn(place)), nil
			}
			if next == "" {
				break
			}
			cursor = next
		}
	}
	return driver.Entry{}, faults.Refuse(op, queue, driver.ErrNotFound, fmt.Errorf("job %s is not waiting, scheduled or dead", id), "")
}

// page reads up to max jobs of one place in bounded steps. An empty next
// means that the place ends here.
func (d *Driver) page(ctx context.Context, op, queue string, place int, cursor string, max int) (list []listedJob, next string, err error) {
	if cursor != "" && !isCursor(place, cursor) {
		return nil, "", badCursor(op, queue)
	}
	next, total := cursor, 0
	for {
		found, after, bytes, err := d.step(ctx, queue, place, next, min(maxStep, max-len(list)), "list", "")
		if err != nil {
			return nil, "", fail(op, queue, err)
		}
		list = append(list, found...)
		next = after
		total += bytes
		if next == "" || len(list) >= max || total > pageBudget {
			return list, next, nil
		}
	}
}

// step is one step of a walk, which looks at count jobs: mode is list, find or
// delete.
func (d *Driver) step(ctx context.Context, queue string, place int, cursor string, count int, mode, id string) (found []listedJob, next string, bytes int, err error) {
	args := append(inspectScript.args(d.names(queue), 5), place, cursor, count, mode, id)
	raw, err := d.conn.eval(ctx, inspectScript, args)
	if err != nil {
		return nil, "", 0, err
	}
	found, next, err = readStep(raw, place)
	return found, next, len(raw), err
}

// readStep reads the reply of inspect.lua on a place.
func readStep(raw []byte, place int) (found []listedJob, next string, err error) {
	r := reader{buf: raw}
	n := r.array()
	next = r.string()
	for ; n > 1 && r.err == nil; n-- {
		var e listedJob
		parts := r.array()
		at := r.string()
		e.read(&r, true)
		if parts == 3 {
			e.due = e.time(r.string())
		}
		if !wire.IsToken(e.ID) {
			e.ID = at // by which it can be redriven and discarded, if it is dead
		}
		found = append(found, e)
	}
	return found, next, r.err
}

// isCursor tells whether a cursor may be one of ours. A wrong one in a command
// would be an error of the server.
func isCursor(place int, cursor string) bool {
	switch place {
	case placeBehind:
		return true
	case placeDue:
		score, member, ok := strings.Cut(cursor, " ")
		return ok && isNumber(score) && member != ""
	default:
		ms, seq, ok := strings.Cut(cursor, "-")
		return ok && isNumber(ms) && isNumber(seq)
	}
}

// isNumber tells whether s is a whole number.
func isNumber(s string) bool {
	_, err := strconv.ParseUint(s, 10, 64)
	return err == nil
}

// badCursor is the error of a cursor that is none of ours.
func badCursor(op, queue string) error {
	return faults.Refuse(op, queue, driver.ErrConfig, errors.New("the cursor is not one that this method returned"), "")
}
