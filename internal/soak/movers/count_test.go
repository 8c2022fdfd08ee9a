package movers

import (
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// slack is by how much the time of a scheduled job may change on its way: the clocks of two brokers and a mover are asked.
const slack = 10 * time.Second

// lettersOf counts the dead letters by their IDs, and compares them with what they were on the source.
func (j *jobs) lettersOf(t *testing.T, q *batch.QueueAdmin) map[string]int {
	count := make(map[string]int)
	for cursor := ""; ; {
		page, next, err := q.DeadLetters().List(t.Context(), cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page {
			count[l.ID]++
			want := j.dead[l.ID]
			if want == nil {
				t.Errorf("%s became a dead letter: %s, %s", l.ID, l.Reason, l.LastError)
				continue
			}
			if l.Reason != want.Reason || l.Failures != want.Failures || l.LastError != want.LastError ||
				!l.EnqueuedAt.Equal(want.EnqueuedAt) || !l.DeadAt.Equal(want.DeadAt) || l.Headers["n"] != want.Headers["n"] {
				t.Errorf("the dead letter is %+v, and was %+v", l, *want)
			}
		}
		if cursor = next; next == "" {
			return count
		}
	}
}

// scheduledOf counts the jobs of the hour by their IDs, and compares them. Where they cannot be listed there is only
// their number: then each is taken for there, and what is more or less for a mistake.
func (j *jobs) scheduledOf(t *testing.T, q *batch.QueueAdmin) map[string]int {
	count := make(map[string]int)
	if !q.CanInspect() {
		depth, err := q.Depth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if depth.Scheduled >= 0 && int(depth.Scheduled) < len(j.later) {
			t.Errorf("%d jobs are scheduled, want at least %d", depth.Scheduled, len(j.later))
		}
		for id := range j.later {
			count[id] = 1
		}
		return count
	}
	for cursor := ""; ; {
		page, next, err := q.ListJobs(t.Context(), batch.StateScheduled, cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			want := j.later[e.ID]
			if want == nil {
				continue // a retry, or one of the short delays
			}
			count[e.ID]++
			late := e.DueAt.Sub(j.made.Add(want.Delay))
			if late.Abs() > slack || !e.EnqueuedAt.Equal(want.EnqueuedAt) || e.Headers["n"] != want.Headers["n"] {
				t.Errorf("the scheduled job is %+v, %v late, and was %+v", e, late, *want)
			}
		}
		if cursor = next; next == "" {
			return count
		}
	}
}
