// Package fault makes the errors of drivers: what each means is the driver's to
// say, and how it becomes a driver.Error is the same for all.
package fault

import (
	"errors"

	"github.com/batch-go/batch/driver"
)

// NotSent marks an error before which nothing was sent to the broker, the end of
// a ctx mostly: the fate of the call is then not in doubt.
type NotSent struct{ Err error }

// Error is the text of the error that it marks.
func (e NotSent) Error() string { return e.Err.Error() }

// Unwrap makes that error reachable.
func (e NotSent) Unwrap() error { return e.Err }

// IsNotSent tells whether an error is marked so.
func IsNotSent(err error) bool {
	var before NotSent
	return errors.As(err, &before)
}

// Verdict is what an error means.
type Verdict struct {
	// Kind, Fate and Hint are those of driver.Error.
	Kind error
	Fate driver.Fate
	Hint string
	// Bare leaves the error itself out: Kind says all of it.
	Bare bool
}

// NotStored is the verdict on an error that certainly had no effect. hint may be
// empty.
func NotStored(kind error, hint string) Verdict {
	return Verdict{Kind: kind, Fate: driver.FateNotStored, Hint: hint}
}

// Unknown is the verdict on an error that leaves open what was done. hint may be
// empty.
func Unknown(kind error, hint string) Verdict {
	return Verdict{Kind: kind, Fate: driver.FateUnknown, Hint: hint}
}

// Maker makes the errors of one driver.
type Maker struct {
	// Driver is the driver's name.
	Driver string
	// Classify says what an error of the broker, of its client library or of the
	// driver means. It need not know NotSent.
	Classify func(error) Verdict
}

// Fail makes a driver error of what an operation ended with. One that is made
// already is returned as it is, and nil is nil.
func (m Maker) Fail(op, queue string, err error) error {
	if err == nil {
		return nil
	}
	var done *driver.Error
	if errors.As(err, &done) {
		return err
	}
	v := m.Verdict(err)
	for before := (NotSent{}); errors.As(err, &before); {
		err = before.Err // a mark may be on another
	}
	if v.Bare || v.Kind == err {
		err = nil
	}
	return &driver.Error{Driver: m.Driver, Op: op, Queue: queue, Kind: v.Kind, Fate: v.Fate, Err: err, Hint: v.Hint}
}

// Verdict is Classify for all errors, those that are marked by NotSent included.
func (m Maker) Verdict(err error) Verdict {
	if err == driver.ErrClosed {
		return Verdict{Kind: driver.ErrClosed, Fate: driver.FateNotStored}
	}
	var before NotSent
	if errors.As(err, &before) {
		v := m.Verdict(before.Err)
		v.Fate = driver.FateNotStored
		return v
	}
	return m.Classify(err)
}

// Refuse makes the error of an operation that the driver did not begin. err and
// hint may be empty.
func (m Maker) Refuse(op, queue string, kind, err error, hint string) error {
	return &driver.Error{Driver: m.Driver, Op: op, Queue: queue, Kind: kind, Fate: driver.FateNotStored, Err: err, Hint: hint}
}

// Closed is the error of an operation after Close.
func (m Maker) Closed(op, queue string) error {
	return m.Refuse(op, queue, driver.ErrClosed, nil, "")
}

// LeaseLost is the error of a delivery that is not held any more.
func (m Maker) LeaseLost(op, queue string) error {
	return m.Refuse(op, queue, driver.ErrLeaseLost, nil, "")
}

// Invalid is the error of a URL or option that cannot be.
func (m Maker) Invalid(err error) error {
	return m.Refuse("open", "", driver.ErrConfig, err, "")
}
