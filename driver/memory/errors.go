package memory

import (
	"context"

	"github.com/batch-go/batch/driver"
)

// driverName is the driver's name and its URL scheme.
const driverName = "memory"

// refuse is the error of an operation that did not take effect, which is what
// every error of this driver is.
func refuse(op, queue string, kind, cause error, hint string) error {
	return &driver.Error{
		Driver: driverName, Op: op, Queue: queue,
		Kind: kind, Fate: driver.FateNotStored, Err: cause, Hint: hint,
	}
}

// ended is nil, or the error of a call whose ctx ended before it began. It
// carries the fate, which ctx's own error does not.
func ended(ctx context.Context, op, queue string) error {
	if err := ctx.Err(); err != nil {
		return refuse(op, queue, err, nil, "")
	}
	return nil
}

// each is one error for all of n.
func each(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}
