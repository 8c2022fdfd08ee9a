package embedded

import (
	"errors"

	"github.com/batch-go/batch/internal/fault"
)

// errLocked says that another process has the lock.
var errLocked = errors.New("locked")

// faults makes the errors of opening; all others are those of [nats.Driver].
var faults = fault.Maker{Driver: Name}

// invalid is the error of a URL or option that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// refuse is the error of a directory or server that cannot be used.
func refuse(kind, err error, hint string) error { return faults.Refuse("open", "", kind, err, hint) }

// refuseClose is the error of a Close whose ctx ended before the server had.
func refuseClose(err error) error { return faults.Refuse("close", "", err, nil, "") }
