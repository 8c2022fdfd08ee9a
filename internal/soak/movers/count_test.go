package movers

import (
	"testing"

	"github.com/batch-go/batch"
)

// lettersOf counts the dead letters by their IDs.
func lettersOf(t *testing.T, q *batch.QueueAdmin) map[string]int {
	count := make(map[string]int)
	for cursor := ""; ; {
		page, next, err := q.DeadLetters().List(t.Context(), cursor, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range page {
			count[l.ID]++
		}
		if cursor = next; next == "" {
			return count
		}
	}
}

// scheduledOf counts the jobs of the hour by their IDs. Where they cannot be listed there is only their
// number: then each is taken for there, and what is more or less for a mistake.
func scheduledOf(t *testing.T, q *batch.QueueAdmin, later map[string]bool) map[string]int {
	count := make(map[string]int)
	if !q.CanInspect() {
		depth, err := q.Depth(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if depth.Scheduled >= 0 && int(depth.Scheduled) < len(later) {
			t.Errorf("%d jobs are scheduled, want at least %d", depth.Scheduled, len(later))
		}
		for id := range later {
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
			count[e.ID]++
		}
		if cursor = next; next == "" {
			return count
		}
	}
}
