package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/move"
)

// The exit codes. They are a promise to scripts; docs/cli.md has the same table.
const (
	exitOK           = 0
	exitFailed       = 1   // the broker failed, or only a part was done
	exitUsage        = 2   // flags, arguments or the URL are wrong, and nothing was done
	exitNotFound     = 3   // there is no such queue, job or dead letter
	exitUnsupported  = 4   // the broker cannot do this
	exitUnavailable  = 5   // the broker could not be reached, or did not answer in time
	exitUnauthorized = 6   // the broker refused the credentials, or lacks a right for them
	exitUnsound      = 7   // doctor found something that fails
	exitNotConfirmed = 8   // the question was not answered with yes
	exitInterrupted  = 130 // Ctrl-C
	exitPipe         = 141 // nobody reads the output any more, as of head
	exitTerminated   = 143 // SIGTERM
)

// usageError is a mistake in flags or arguments.
type usageError struct{ text string }

// Error is the text.
func (e *usageError) Error() string { return e.text }

// usage makes a usageError.
func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errNotConfirmed says that a question was answered with no, or with nothing.
var errNotConfirmed = errors.New("not confirmed, and nothing was done")

// errPipe says that nobody reads the output any more. It has the code that a shell reports of a
// program which SIGPIPE ends; this one ends by itself, so that it can clean up.
var errPipe = errors.New("nobody reads the output")

// wrote is the error of writing to the standard output.
func wrote(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return errPipe
	}
	return err
}

// unsoundError says that doctor found something that fails.
type unsoundError struct{ failed int }

// Error counts the checks that failed.
func (e *unsoundError) Error() string {
	return fmt.Sprintf("%d %s", e.failed, plural(e.failed, "check failed", "checks failed"))
}

// codeOf is the exit code for what a command ended with.
func codeOf(ctx context.Context, err error) int {
	var wrong *usageError
	var unsound *unsoundError
	var ended signalError
	var refused *move.RefusedError
	switch {
	case err == nil:
		return exitOK
	case ctx.Err() != nil && errors.As(context.Cause(ctx), &ended):
		if ended.signal == os.Interrupt {
			return exitInterrupted
		}
		return exitTerminated
	case errors.Is(err, errPipe):
		return exitPipe
	case errors.As(err, &refused):
		return exitUnsupported
	case errors.As(err, &wrong), errors.Is(err, batch.ErrInvalid), errors.Is(err, batch.ErrConfig):
		return exitUsage
	case errors.As(err, &unsound):
		return exitUnsound
	case errors.Is(err, errNotConfirmed):
		return exitNotConfirmed
	case errors.Is(err, batch.ErrCapability), errors.Is(err, batch.ErrUnsupported):
		return exitUnsupported
	case errors.Is(err, batch.ErrNotFound):
		return exitNotFound
	case errors.Is(err, batch.ErrUnauthorized):
		return exitUnauthorized
	case errors.Is(err, batch.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitFailed
}

// plural is one for a single thing and many for any other number.
func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}
