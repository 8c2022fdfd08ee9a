package move_test

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/move"
)

// TestKindsBehindGroup: a move of a kind does not end well while jobs of the kind are left, behind others of their group.
func TestKindsBehindGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", []batch.Entry{
			bare("stays", batch.StateWaiting, func(e *batch.Entry) { e.Kind, e.Group = "other", "g" }),
			bare("goes", batch.StateWaiting, func(e *batch.Entry) { e.Kind, e.Group = "mine", "g" }),
		})
		p, err := move.Run(t.Context(), from, to, "q", move.Kinds("mine"))
		if err == nil || !strings.Contains(err.Error(), "1 jobs are left on queue q") {
			t.Errorf("it has left the job, and says %+v, %v", p, err)
		}
	})
}

// TestKindsBehindTwins: two jobs of another kind with one ID do not end the search for those of the kind.
func TestKindsBehindTwins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		var entries []batch.Entry
		for i := range 300 {
			e := job(i, batch.StateWaiting)
			e.Kind, e.Level, e.DedupKey = "other", batch.Normal, ""
			if i == 1 {
				e.ID = entries[0].ID
			}
			entries = append(entries, e)
		}
		for i := range 10 {
			e := job(1000+i, batch.StateWaiting)
			e.Kind, e.Level, e.DedupKey = "mine", batch.Normal, ""
			entries = append(entries, e)
		}
		fill(t, from, "q", entries)
		p, err := move.Run(t.Context(), from, to, "q", move.Kinds("mine"))
		if got := content(t, to, "q"); err == nil && len(got) != 10 {
			t.Errorf("it ended with nil and has moved %d of 10: %+v", len(got), p)
		}
	})
}
