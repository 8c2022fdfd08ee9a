package dash

import (
	"context"
	"fmt"
	"net/http"

	"github.com/batch-go/batch"
)

// The bounds of what is read of a queue for one page.
const (
	// pageSize is how many jobs a page lists.
	pageSize = 50
	// costlyRead is how many dead letters are read at once where each read takes all of them.
	costlyRead = 200
	// sampleSize is how many dead letters are looked at for the summary.
	sampleSize = 1000
	// searchSize is how many a page looks at to find those that match a filter, and moveSize an action.
	searchSize, moveSize = 2000, 10_000
	// maxBytes is how much a page reads: when so much has been, it ends. An action has time for all of its jobs.
	maxBytes = 16 << 20
	// firstStep is how many jobs are read to see how large they are, and stepBytes how much is read at once after that.
	firstStep, stepBytes = 10, 4 << 20
)

// scan reads jobs of a queue in one state, a step at a time.
type scan struct {
	queue  *batch.QueueAdmin
	state  batch.State
	cursor string // where the next step begins
	// limit is how many jobs are read at most, and bytes how much: zero for any.
	limit, bytes int

	read int  // jobs so far
	done bool // there are no more
}

// costly tells whether each step reads all dead letters.
func (s *scan) costly() bool { return s.state == batch.StateDead && readCost(s.queue) != "" }

// run reads until visit is told of so many jobs as the limits let, or says that it has enough. It is asked after each
// step, since a list goes on only where a step ended.
func (s *scan) run(ctx context.Context, visit func(page []batch.Entry) (more bool)) error {
	step, bytes := firstStep, 0
	if s.costly() {
		step = min(s.limit, costlyRead)
	}
	for {
		page, next, err := list(ctx, s.queue, s.state, s.cursor, max(min(step, s.limit-s.read), 1))
		if err != nil {
			return err
		}
		s.read += len(page)
		for i := range page {
			bytes += page[i].Size()
		}
		s.cursor, s.done = next, next == ""
		if !visit(page) || s.done || s.read >= s.limit || s.bytes > 0 && bytes >= s.bytes || s.costly() {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		step = min(max(stepBytes*s.read/max(bytes, 1), 1), 200)
	}
}

// list reads a page of jobs in a state.
func list(ctx context.Context, q *batch.QueueAdmin, state batch.State, cursor string, most int) ([]batch.Entry, string, error) {
	if state != batch.StateDead {
		return q.ListJobs(ctx, state, cursor, most)
	}
	dead, next, err := q.DeadLetters().List(ctx, cursor, most)
	if err != nil {
		return nil, "", err
	}
	page := make([]batch.Entry, len(dead))
	for i := range dead {
		page[i] = dead[i].Entry()
	}
	return page, next, nil
}

// reserve waits for a place to read. Free it afterwards.
func (s *site) reserve(ctx context.Context) (free func(), err error) {
	select {
	case s.reads <- struct{}{}:
		return func() { <-s.reads }, nil
	case <-ctx.Done():
		return nil, refuse(http.StatusServiceUnavailable, "Others are reading", "%s", fmt.Sprintf("%d other reads of jobs are under way, and none ended in time. Try again.", cap(s.reads)))
	}
}
