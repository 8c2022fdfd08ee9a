package peers

import (
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch/bench/performance/load"
	"github.com/batch-go/batch/bench/performance/peer"
)

// TestRows finds rows that the page could not show: every broker has batch first, every row says how it is set
// up, and what a row lacks are workloads.
func TestRows(t *testing.T) {
	for _, broker := range peer.Brokers() {
		rows := Rows(broker)
		if len(rows) == 0 || rows[0].Name != Ours {
			t.Fatalf("%s does not begin with %s", broker, Ours)
		}
		var names []string
		for _, r := range rows {
			if r.Module == "" || !strings.HasSuffix(r.Note, ".") {
				t.Errorf("%s %s has no module, or its note is no sentence: %q", broker, r.Name, r.Note)
			}
			if slices.Contains(names, r.Name) {
				t.Errorf("%s has %s twice", broker, r.Name)
			}
			names = append(names, r.Name)
			for w, reason := range r.Lacks {
				if _, err := load.Find(w); err != nil || reason == "" {
					t.Errorf("%s %s lacks %q, %q: %v", broker, r.Name, w, reason, err)
				}
			}
		}
	}
}
