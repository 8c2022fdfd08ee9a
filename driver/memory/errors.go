package memory

import (
	"errors"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// errNoQueue says what was not found.
var errNoQueue = errors.New("the queue does not exist")

// errInTx says why a delivery cannot be settled.
var errInTx = errors.New("an open transaction completes the job")

// faults makes the errors of this driver.
var faults = fault.Maker{Driver: Name, Classify: classify}

// classify takes an error for its own kind. The operation did not take effect,
// which is what every error of this driver says.
func classify(err error) fault.Verdict {
	return fault.Verdict{Kind: err, Fate: driver.FateNotStored}
}

// fail makes the driver's error of what kept an operation from taking effect;
// nil is nil.
func fail(op, queue string, err error) error { return faults.Fail(op, queue, err) }

// closed is the error of an operation after Close.
func closed(op, queue string) error { return faults.Closed(op, queue) }

// invalid is the error of a URL or option that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// tooLarge is the error of an operation that exceeds the limits.
func tooLarge(op, queue string, err error) error {
	return faults.Refuse(op, queue, driver.ErrTooLarge, err, "")
}

// wrongArgument is the error of an argument that only a faulty core passes.
func wrongArgument(op, queue string, err error) error {
	return faults.Refuse(op, queue, driver.ErrConfig, err, "")
}
