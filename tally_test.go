package batch

import (
	"testing"

	"github.com/batch-go/batch/driver"
)

// A stop reports what it gave back, and not what was given back before, when a suspect was
// isolated. What could not be given back does not count.
func TestTally(t *testing.T) {
	var all tally
	all.returned.Add(5)
	all.abandoned.Add(5)
	all.left.Add(5)
	all.reset()
	if all.givenBack() != 0 || all.abandoned.Load() != 0 || all.left.Load() != 0 {
		t.Errorf("after a reset %d were given back, %d abandoned and %d left", all.givenBack(), all.abandoned.Load(), all.left.Load())
	}
	all.returned.Add(3)
	released := &task{settlement: driver.Settlement{Outcome: OutcomeRelease}}
	done := &task{settlement: driver.Settlement{Outcome: OutcomeDone}}
	all.abandon([]*task{released, done})
	if all.givenBack() != 2 || all.abandoned.Load() != 2 {
		t.Errorf("%d were given back and %d abandoned, want two and two", all.givenBack(), all.abandoned.Load())
	}
	for range 5 { // given back before the reset
		all.abandon([]*task{released})
	}
	if all.givenBack() != 0 {
		t.Errorf("%d were given back, want none", all.givenBack())
	}
}
