package driver

import (
	"errors"
	"strings"
)

// What went wrong, for errors.Is. Each comment says what the caller may assume.
var (
	// ErrClosed: the driver or consumer was closed. Nothing was sent.
	ErrClosed = errors.New("closed")
	// ErrUnavailable: the broker could not be reached, or broke off. It may
	// work later; the Fate says what became of this call.
	ErrUnavailable = errors.New("broker unavailable")
	// ErrUnauthorized: the broker refused the credentials or the permission.
	// It will refuse again.
	ErrUnauthorized = errors.New("not authorized")
	// ErrNotFound: the queue or job does not exist. Nothing was changed.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the queue exists with other properties. Nothing was changed.
	ErrConflict = errors.New("declared differently")
	// ErrTooLarge: the message exceeds what the broker takes. Not stored, and
	// no use in trying again.
	ErrTooLarge = errors.New("too large")
	// ErrFull: the broker has no room. Not stored; it may work later.
	ErrFull = errors.New("broker full")
	// ErrDuplicate: a job of an atomic enqueue has a DedupKey that is taken.
	// None was stored.
	ErrDuplicate = errors.New("duplicate")
	// ErrKeyHeld: an open transaction has stored a job with the DedupKey, and only
	// its end tells whether this one is a duplicate. Not stored; it may be sent
	// again until that is known.
	ErrKeyHeld = errors.New("key held by an open transaction")
	// ErrLeaseLost: the delivery is no longer held: its lease ended and the job
	// may be with another consumer, or it was settled before.
	ErrLeaseLost = errors.New("lease lost")
	// ErrUnsupported: the server lacks something that the driver needs. Opening
	// fails with it.
	ErrUnsupported = errors.New("not supported by the broker")
	// ErrConfig: a URL or option of the driver is not valid. Nothing was
	// connected.
	ErrConfig = errors.New("invalid configuration")
	// ErrBroker: the broker answered with an error that none of the others
	// describes. Trying the same again may fail again.
	ErrBroker = errors.New("broker error")
)

// Fate says what is known of an operation that failed.
type Fate uint8

const (
	// FateUnknown is the zero value: the operation may have been carried out.
	// Trying an enqueue again may store the job twice.
	FateUnknown Fate = iota
	// FateNotStored says that the operation was certainly not carried out.
	FateNotStored
)

// String is the fate in words.
func (f Fate) String() string {
	if f == FateNotStored {
		return "not stored"
	}
	return "may be stored"
}

// Error is the error of a driver's method.
type Error struct {
	// Driver and Op say where: "redis", "enqueue".
	Driver, Op string
	// Queue is the queue's name, or empty.
	Queue string
	// Kind is one of the Err values above.
	Kind error
	// Fate says what is known of the operation.
	Fate Fate
	// Err is the cause in the client library's words, possibly nil.
	Err error
	// Hint is what to do about it, possibly empty.
	Hint string
}

// Error is one line: where, what, the cause, what to do.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Driver)
	b.WriteString(": ")
	b.WriteString(e.Op)
	if e.Queue != "" {
		b.WriteString(" on queue ")
		b.WriteString(e.Queue)
	}
	b.WriteString(": ")
	b.WriteString(e.Kind.Error())
	if e.Err != nil {
		b.WriteString(": ")
		b.WriteString(e.Err.Error())
	}
	if e.Hint != "" {
		b.WriteString(" (")
		b.WriteString(e.Hint)
		b.WriteString(")")
	}
	return b.String()
}

// Unwrap makes Kind and the cause reachable by errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Err == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Err}
}

// FateOf is the fate that err reports: that of the first [*Error] in its tree,
// or FateUnknown.
func FateOf(err error) Fate {
	var e *Error
	if errors.As(err, &e) {
		return e.Fate
	}
	return FateUnknown
}
