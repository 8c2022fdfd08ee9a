package memory

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/batch-go/batch/driver"
)

// cursor is the position of the last job of a page: its list and its order in
// it. Jobs that were added or removed since leave it valid. The time is negative for
// a dead letter that was imported and died before there was the broker.
type cursor struct {
	rank int // of waiting jobs
	at   instant
	seq  uint64
}

// start is the position before every job.
var start = cursor{at: math.MinInt64}

// cursorOf is the position of a job.
func cursorOf(j *job) cursor { return cursor{rank: j.rank(), at: j.at, seq: j.seq} }

// text is the cursor as the caller carries it, for lists of jobs in that state.
func (c cursor) text(state driver.State) string {
	return fmt.Sprintf("%s.%d.%d.%d", state, c.rank, c.at, c.seq)
}

// parseCursor reads what text wrote; empty is the position before everything.
func parseCursor(state driver.State, text string) (cursor, error) {
	if text == "" {
		return start, nil
	}
	parts := strings.Split(text, ".")
	if len(parts) == 4 && parts[0] == state.String() {
		rank, err1 := strconv.ParseUint(parts[1], 10, 8)
		at, err2 := strconv.ParseInt(parts[2], 10, 64)
		seq, err3 := strconv.ParseUint(parts[3], 10, 64)
		if err1 == nil && err2 == nil && err3 == nil && rank < levels && (at >= 0 || state == driver.StateDead) {
			return cursor{rank: int(rank), at: instant(at), seq: seq}, nil
		}
	}
	return cursor{}, fmt.Errorf("%q is not a cursor of such a list", text)
}

// parsePage checks the bounds of a page, and reads the cursor where it begins.
func parsePage(op, queue string, state driver.State, from string, max int) (cursor, error) {
	if max < 1 || max > 1000 {
		return cursor{}, wrongArgument(op, queue, fmt.Errorf("max is %d, which is not from 1 to 1000", max))
	}
	c, err := parseCursor(state, from)
	if err != nil {
		return cursor{}, wrongArgument(op, queue, err)
	}
	return c, nil
}

// page lists at most max jobs of a state behind a position, as show shows them,
// and the cursor of the next page, in O(log n + max).
func page[T any](b *backlog, state driver.State, from cursor, max int, show func(*job) T) (list []T, next string) {
	var last *job
	b.walk(state, from, func(j *job) bool {
		if len(list) == max {
			next = cursorOf(last).text(state)
			return false
		}
		list = append(list, show(j))
		last = j
		return true
	})
	return list, next
}

// walk calls yield with the jobs of a state behind a position, in their order,
// until it returns false. Waiting jobs come by level and place, the blocked ones
// among them.
func (b *backlog) walk(state driver.State, c cursor, yield func(*job) bool) {
	switch state {
	case driver.StateScheduled:
		walkMerged(yield, b.scheduled.after(c.at, c.seq))
	case driver.StateDead:
		walkMerged(yield, b.dead.after(c.at, c.seq))
	case driver.StateWaiting:
		for rank, seq := c.rank, c.seq; rank < levels; rank++ {
			if !walkMerged(yield, b.ready[rank].after(0, seq), b.blocked[rank].after(0, seq)) {
				return
			}
			seq = 0 // the cursor's is of its own level only
		}
	}
}

// walkMerged calls yield with the jobs of several lists in one order, until it
// returns false, which walkMerged then returns too.
func walkMerged(yield func(*job) bool, lists ...iterator) bool {
	for {
		var first *job
		var from *iterator
		for i := range lists {
			if j := lists[i].peek(); j != nil && (first == nil || j.before(first.at, first.seq)) {
				first, from = j, &lists[i]
			}
		}
		if first == nil {
			return true
		}
		if !yield(first) {
			return false
		}
		from.skip()
	}
}
