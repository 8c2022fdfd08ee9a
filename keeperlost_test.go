package batch

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// losses counts the leases that are reported lost.
type losses struct{ n int }

func (l *losses) OnLeaseLost(context.Context, LeaseLost) { l.n++ }

// A lease is lost once, although the extension and the settlement of a job may both find
// out. A handler that goes on is known until it has returned, and not for longer.
func TestALeaseIsLostOnce(t *testing.T) {
	var seen losses
	h := &hooks{}
	if err := h.append(&seen); err != nil {
		t.Fatal(err)
	}
	k := &keeper{hooks: h, working: t.Context(), lostRunning: make(map[*task]struct{})}
	running, buffered := &task{delivery: &driver.Delivery{}}, &task{delivery: &driver.Delivery{}}
	running.ctx.begin(t.Context(), time.Now().Add(time.Minute))
	running.state.Store(taskRunning)
	k.add([]*task{running, buffered})
	k.lose(running, buffered)
	k.lose(running)
	k.lose(buffered)
	if seen.n != 2 {
		t.Errorf("%d leases were reported lost, want two", seen.n)
	}
	if lost := k.lost(); len(lost) != 1 || lost[0] != running {
		t.Errorf("%d handlers go on without their leases, want one", len(lost))
	}
	if context.Cause(&running.ctx) != ErrLeaseLost || buffered.state.Load() != taskDropped {
		t.Errorf("the handler was cancelled with %v and the job in the buffer is in state %d", context.Cause(&running.ctx), buffered.state.Load())
	}
	k.remove(running, buffered)
	if n := len(k.lost()) + len(k.held()); n != 0 {
		t.Errorf("%d tasks are kept of none", n)
	}
}
