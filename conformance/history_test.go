package conformance

import (
	"fmt"
	"strings"
	"testing"
)

// TestExcerpt: what a problem says of a job is shown with that job's events and the faults,
// however much came afterwards.
func TestExcerpt(t *testing.T) {
	h := NewHistory()
	h.Add(Event{Op: Enqueueing, ID: "accused"})
	h.Add(Event{Op: Disturbed, Note: "cut"})
	for n := range 10 {
		h.Add(Event{Op: Enqueued, ID: fmt.Sprint("other-", n)})
	}
	text := h.excerpt(4, []string{`jobs made up: accused ran, "x"`})
	for _, want := range []string{"(accused and the faults)", "enqueueing accused", "cut", "other-9"} {
		if !strings.Contains(text, want) {
			t.Errorf("the excerpt lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "other-3") {
		t.Errorf("the excerpt has what nobody asked for:\n%s", text)
	}
	if got := h.excerpt(4, []string{"other-9 is late"}); got != h.Tail(4) {
		t.Errorf("a job of the tail is shown twice:\n%s", got)
	}
}
