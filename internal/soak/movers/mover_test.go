package movers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/move"
)

// assignment is what a mover is to do.
type assignment struct {
	From, To, Queue, ToQueue string
	// Relay says that it goes on until it is killed, and parks what the target cannot keep.
	Relay bool
	// Inside says that the mover is no process of its own, since a broker is in the memory of this one.
	Inside bool
}

// event is what a mover tells.
type event struct {
	// Held is by how many more jobs of the source it holds, or fewer.
	Held int `json:",omitempty"`
	// End is what the move came to. Only one that was not killed has it.
	End *move.Progress `json:",omitempty"`
}

// run moves the queue and tells of it. Once dead is set, which may be nil, nothing reaches the source.
func (a assignment) run(ctx context.Context, tell func(event), dead *atomic.Bool) (move.Progress, error) {
	if dead == nil {
		dead = new(atomic.Bool)
	}
	from, err := batch.Open[batch.Importer](ctx, a.From)
	if err != nil {
		return move.Progress{}, err
	}
	defer from.Close(context.WithoutCancel(ctx))
	to := from
	if a.To != a.From {
		if to, err = batch.Open[batch.Importer](ctx, a.To); err != nil {
			return move.Progress{}, err
		}
		defer to.Close(context.WithoutCancel(ctx))
	}
	var mu sync.Mutex // several goroutines of a mover tell
	told := func(e event) {
		mu.Lock()
		defer mu.Unlock()
		tell(e)
	}
	told(event{})
	options := []move.Option{move.To(a.ToQueue), move.Quiet(3 * time.Second), move.Drop(move.Group),
		move.OnFault(func(err error) {
			if !dead.Load() { // what one does that was killed nobody would see
				fmt.Fprintln(os.Stderr, "fault:", err)
			}
		})}
	if a.Relay {
		options = append(options, move.Follow(), move.Park())
	}
	watched := watch(from, func(n int) { told(event{Held: n}) }, dead)
	return move.Run(ctx, watched, to, a.Queue, options...)
}

// mover is one that moves.
type mover struct {
	events chan event // until it has ended
	kill   func()
	held   int // as far as the events tell
}

// start starts a mover, and returns when it begins to move.
func (a assignment) start(t *testing.T) *mover {
	t.Helper()
	m := &mover{}
	if a.Inside {
		m = a.startInside(t)
	} else {
		m = a.startProcess(t)
	}
	if _, ok := <-m.events; !ok {
		t.Fatal("a mover ended before it had begun")
	}
	return m
}

// startInside starts one in this process. To kill it is to let it finish while nothing reaches the source.
func (a assignment) startInside(t *testing.T) *mover {
	ctx, cancel := context.WithCancel(t.Context())
	var dead atomic.Bool
	m := &mover{events: make(chan event), kill: func() {
		dead.Store(true)
		cancel()
	}}
	tell := func(e event) { m.events <- e }
	go func() {
		defer close(m.events)
		defer cancel()
		p, err := a.run(ctx, tell, &dead)
		if dead.Load() {
			return
		}
		if err != nil {
			t.Errorf("the move ended with %v", err)
			return
		}
		tell(event{End: &p})
	}()
	return m
}

// killAtWork kills a mover that has worked for a while, as soon as it holds jobs, and tells whether it did, and whether
// jobs were in its hands then. One that has nothing left to do ends by itself, or is killed when idle is closed.
func (m *mover) killAtWork(while time.Duration, idle <-chan struct{}) (killed, atWork bool) {
	var due <-chan time.Time
	begun, armed := false, false
	for {
		select {
		case e, ok := <-m.events:
			if !ok {
				return killed, killed && m.held > 0
			}
			m.held += e.Held
			if !begun && e.Held > 0 {
				begun, due = true, time.After(while)
			}
		case <-due:
			armed, due = true, nil
		case <-idle:
			idle, killed = nil, true
			m.kill()
		}
		if armed && !killed && m.held > 0 {
			killed = true
			m.kill()
		}
	}
}

// wait waits until the move has ended.
func (m *mover) wait(t *testing.T) (p move.Progress) {
	t.Helper()
	ended := false
	for e := range m.events {
		if e.End != nil {
			p, ended = *e.End, true
		}
	}
	if !ended {
		t.Fatal("the move did not end well")
	}
	return p
}
