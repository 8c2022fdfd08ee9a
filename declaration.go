package batch

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/batch-go/batch/driver"
)

// declaration is what a queue's handle knows of whether its queue exists. Only an
// enqueue and [Queue.Declare] make the queue; reading does not.
type declaration struct {
	driver driver.Driver
	queue  string
	// current is the number of the declaration that counts, or zero for none. The
	// number tells those whose request found the queue missing whether somebody
	// declared it since.
	current atomic.Uint64
	made    atomic.Uint64 // how many declarations there were
}

// number is that of the declaration that counts, or zero for none.
func (d *declaration) number() uint64 { return d.current.Load() }

// declare declares the queue, unless this handle has done so before.
func (d *declaration) declare(ctx context.Context) error {
	if d.number() != 0 {
		return nil
	}
	if err := d.driver.Declare(ctx, d.queue); err != nil {
		return err
	}
	d.current.Store(d.made.Add(1))
	return nil
}

// forget makes the next enqueue declare the queue again, because it was deleted.
func (d *declaration) forget() { d.current.Store(0) }

// ready declares the queue for an enqueue, and tries again while the broker cannot
// be reached, until ctx ends. Nothing has been sent when it fails.
func (d *declaration) ready(ctx context.Context) error {
	if d.number() != 0 {
		return context.Cause(ctx)
	}
	var b backoff
	for {
		err := d.declare(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrUnavailable) || !b.wait(ctx) {
			return err
		}
	}
}

// lost takes note that a request under the declaration with this number found the
// queue missing. Of several such requests only the first counts: those that come
// after the queue was declared again do not make it be declared once more.
func (d *declaration) lost(number uint64) { d.current.CompareAndSwap(number, 0) }

// resend paces the requests of one enqueue, and says which of its failures may be
// sent again.
type resend struct {
	declaration *declaration
	backoff     backoff
	number      uint64 // of the declaration under which the request is sent
	missing     bool   // the request found the queue missing
	renewed     bool   // a request before it did, too
}

// begin is called before each request.
func (r *resend) begin() { r.number, r.missing = r.declaration.number(), false }

// failed takes note of an error of the request, and reports whether what failed with
// it may be sent again: it is certainly not stored, and the reason may pass.
func (r *resend) failed(err error) bool {
	again := errors.Is(err, ErrUnavailable)
	if errors.Is(err, ErrNotFound) {
		r.declaration.lost(r.number)
		r.missing, again = true, true
	}
	return again && driver.FateOf(err) == FateNotStored
}

// await returns when the next request may be sent, or with the reason why there is
// none. A queue that was missing is declared again: at once the first time, because
// it was deleted, and after a wait when that happens again.
func (r *resend) await(ctx context.Context) error {
	if (!r.missing || r.renewed) && !r.backoff.wait(ctx) {
		return context.Cause(ctx)
	}
	if !r.missing {
		return nil
	}
	r.renewed = true
	return r.declaration.ready(ctx)
}
