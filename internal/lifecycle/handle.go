package lifecycle

import (
	"context"
	"sync"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// Handle is the life of a driver: its calls, its consumers, and its Close. The
// zero value is open. Its methods may be called concurrently.
type Handle struct {
	calls   Gate
	closing Closing

	mu        sync.Mutex // guards following
	consumers map[driver.Consumer]struct{}
	detached  bool // no consumer is taken any more
}

// Begin counts a call as under way until End. Its error says that nothing was
// sent: [driver.ErrClosed] after Close, and [fault.NotSent] on a ctx that ended.
func (h *Handle) Begin(ctx context.Context) error {
	if h.calls.IsShut() {
		return driver.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fault.NotSent{Err: err}
	}
	if !h.calls.Enter() {
		return driver.ErrClosed
	}
	return nil
}

// End ends a call that Begin began.
func (h *Handle) End() { h.calls.Exit() }

// Closed tells whether calls are refused.
func (h *Handle) Closed() bool { return h.calls.IsShut() }

// Attach takes in a consumer for Close to close; false says that Close began.
func (h *Handle) Attach(c driver.Consumer) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.detached {
		return false
	}
	if h.consumers == nil {
		h.consumers = make(map[driver.Consumer]struct{})
	}
	h.consumers[c] = struct{}{}
	return true
}

// Detach lets a consumer go that has closed.
func (h *Handle) Detach(c driver.Consumer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.consumers, c)
}

// Close closes the consumers while calls still work, since they give jobs back;
// then refuses calls and waits for those under way until ctx ends; then calls
// cut, which closes the connection. What is left has to end by that: Close waits
// for it, unless cut returns false. The error is ctx's if it ended before the
// calls had. A second Close waits for the first and returns nil.
func (h *Handle) Close(ctx context.Context, cut func() (ends bool)) error {
	if !h.closing.Begin(ctx) {
		return nil
	}
	defer h.closing.Finish()
	var closing sync.WaitGroup
	for _, c := range h.detachAll() {
		// Its error is about jobs that come back by themselves when their leases end.
		closing.Go(func() { _ = c.Close(ctx) })
	}
	closing.Wait()
	h.calls.Shut()
	err := h.calls.Wait(ctx)
	if cut() {
		h.calls.WaitAll()
	}
	return err
}

// detachAll returns the consumers, and keeps others from being attached.
func (h *Handle) detachAll() []driver.Consumer {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.detached = true
	all := make([]driver.Consumer, 0, len(h.consumers))
	for c := range h.consumers {
		all = append(all, c)
	}
	return all
}
