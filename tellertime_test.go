package batch

import (
	"testing"
	"testing/synctest"
	"time"
)

// A request has the time of the task that has most of it left: what is fresh is not cut off
// because it goes with what has been refused for long. The time of a task begins once.
func TestDeadlineOfASharedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &teller{timeout: time.Minute}
		old, fresh := &task{}, &task{}
		start := time.Now()
		if d := l.deadline([]*task{old}); d.Sub(start) != time.Minute {
			t.Errorf("a first request has %s", d.Sub(start))
		}
		time.Sleep(50 * time.Second)
		if d := l.deadline([]*task{old}); d.Sub(start) != time.Minute {
			t.Errorf("a second request ends after %s, want a minute after the first began", d.Sub(start))
		}
		for _, batch := range [][]*task{{old, fresh}, {fresh, old}} {
			if d := l.deadline(batch); d.Sub(start) != 110*time.Second {
				t.Errorf("a shared request ends after %s, want that of the fresh task, 110s", d.Sub(start))
			}
		}
		if old.settleBy.Sub(start) != time.Minute {
			t.Errorf("the old task is given up after %s, want a minute", old.settleBy.Sub(start))
		}
	})
}
