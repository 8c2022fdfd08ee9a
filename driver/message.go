package driver

import "time"

// Message is a job as a producer stores it. The core fills every field within
// the bounds that it documents; drivers carry all of them, unchanged, from
// Enqueue to [Delivery] and [DeadLetter], across retries, redeliveries and
// redrives.
type Message struct {
	// ID names the job: 1 to 128 bytes of printable ASCII without spaces. It
	// is unique unless the application chose it; drivers do not enforce that.
	ID string
	// Kind names the type of the job's args: 1 to 128 bytes of [A-Za-z0-9._:/-].
	Kind string
	// Body is the encoded args: any bytes, possibly none, up to Limits.MaxBody.
	Body []byte
	// ContentType is the MIME type of Body: 1 to 128 bytes of printable ASCII.
	ContentType string
	// Headers are the application's: at most 100, of names [A-Za-z0-9_.-] with
	// 1 to 64 bytes, none starting with "batch-" in any case; values are any
	// bytes. Nil when there are none. The names' case is kept.
	Headers map[string]string

	// EnqueuedAt is when the producer enqueued the job, by its clock, at a
	// precision of milliseconds, in UTC.
	EnqueuedAt time.Time
	// ExpiresAt is when the job must not be started any more, by the same clock
	// and at the same precision; zero for never. The core checks it. Drivers only
	// carry it.
	ExpiresAt time.Time
	// MaxAttempts is how many times the handler may fail before the job is a
	// dead letter. Zero leaves it to the worker.
	MaxAttempts int
	// Timeout bounds one run of the handler, at a precision of milliseconds.
	// Zero leaves it to the worker.
	Timeout time.Duration

	// The fields below are set only if the driver has the capability.

	// Level is the job's priority, Normal if not set. See [Prioritizer].
	Level Level
	// Delay holds the job back for at least this long from when the broker
	// stored it. One that is not from zero to [Delayer.MaxDelay] is an error
	// that wraps [ErrConfig], and nothing is sent of the job. It is a duration, so that
	// the clocks of producer, broker and worker need not agree; drivers measure it by
	// the broker's clock if they
	// can. It is part of Enqueue only: deliveries have it zero. See [Delayer].
	Delay time.Duration
	// DedupKey makes a second job with this key a duplicate, 1 to 128 bytes of
	// printable ASCII without spaces. Empty for none. See [Deduplicator].
	DedupKey string
	// DedupWithin is how long DedupKey is remembered from the enqueue on: 1 s to
	// DedupWindow, at a precision of milliseconds. Zero means DedupWindow. It is
	// part of Enqueue only: deliveries have it zero.
	DedupWithin time.Duration
	// Group is the name of the job's group, 1 to 128 bytes of printable ASCII
	// without spaces. Empty for none. See [Grouper].
	Group string
}

// Size is the number of bytes of the message that Limits.EnqueueBytes bounds.
func (m *Message) Size() int { return len(m.Body) + m.HeaderSize() }

// HeaderSize is the number of bytes of the headers that Limits.MaxHeaders bounds.
func (m *Message) HeaderSize() int {
	n := 0
	for name, value := range m.Headers {
		n += len(name) + len(value)
	}
	return n
}

// Result is what became of one message of an Enqueue.
type Result struct {
	// Duplicate is true if a job with the same DedupKey was enqueued within the
	// window; the message was not stored, and Err is nil.
	Duplicate bool
	// DuplicateOf is the ID of that job, or empty where the broker does not
	// tell.
	DuplicateOf string
	// Err is nil if the broker promised to keep the job, or if it is a
	// duplicate.
	Err error
}

// Delivery is a job handed to a consumer, with its history.
type Delivery struct {
	Message

	// Failures is how often the handler failed, as the last settlement with
	// [OutcomeRetry] stored it; zero on the first delivery.
	Failures int
	// LastError is the text of the last failure, stored with it; possibly empty.
	LastError string
	// Bounces is how often a worker put the job back because it could not run it
	// (it did not know the kind, or could not read the body at that time), and
	// BouncedSince when the first of these was that no run came after, in
	// milliseconds and UTC. Both are as the last settlement with [OutcomeRetry]
	// stored them; zero on the first delivery.
	Bounces      int
	BouncedSince time.Time
	// Deliveries is how often the job was handed out, this time included; at
	// least 1. A broker that forgets counts in a crash may count too few.
	Deliveries int
	// Redeliveries is how often a holder vanished with the job since it was last
	// settled with another outcome than [OutcomeRelease]. A release does not
	// change it. Zero on a first delivery, after a retry and after a redrive. The
	// core decides by it which job kills its workers, so it must not count what is
	// no lost holder. Where a broker does, and the driver cannot know, the driver's
	// package comment says when.
	Redeliveries int

	// Receipt is the driver's own means to settle the delivery.
	Receipt any
}

// Outcome says what becomes of a delivery.
type Outcome uint8

const (
	// OutcomeDone removes the job: it ran, or is not to run.
	OutcomeDone Outcome = iota + 1
	// OutcomeRetry makes the job available again after Settlement.Delay, with
	// Settlement.Failures and Settlement.Error as its history. It is not early,
	// and no more than a second late on an idle broker. Every driver has it,
	// whether or not it is a [Delayer]. A job of a group keeps its group
	// blocked meanwhile.
	OutcomeRetry
	// OutcomeRelease makes the job available again at once, its history as it was,
	// Redeliveries included: it was not run, or is given back before it ended.
	OutcomeRelease
	// OutcomeDead moves the job to the dead letters, with Settlement.Reason, Failures
	// and Error.
	OutcomeDead
)

// String is the outcome's name in lower case.
func (o Outcome) String() string {
	switch o {
	case OutcomeDone:
		return "done"
	case OutcomeRetry:
		return "retry"
	case OutcomeRelease:
		return "release"
	case OutcomeDead:
		return "dead"
	}
	return "invalid"
}

// Settlement ends one delivery.
type Settlement struct {
	Delivery *Delivery
	Outcome  Outcome
	// Delay is how long a Retry is held back: zero to Limits.MaxRetryDelay, at
	// a precision of milliseconds, rounded up.
	Delay time.Duration
	// Failures is the number of the handler's failures to store with Retry and
	// Dead.
	Failures int
	// Bounces and BouncedSince are to be stored with Retry and Dead.
	Bounces      int
	BouncedSince time.Time
	// Reason says why a job is Dead, in one of the words below.
	Reason string
	// Error is the text of the last failure to store with Retry and Dead: at
	// most 2048 bytes of UTF-8.
	Error string
	// Strip is set with Dead when the job did not fit with its headers: the dead
	// letter is stored without Message.Headers, and without anything else that a
	// job can be read without, so that it fits wherever the job itself did. Error
	// says that headers are missing.
	Strip bool
}

// The reasons for which a job becomes a dead letter.
const (
	// ReasonAttempts: the handler failed MaxAttempts times.
	ReasonAttempts = "max-attempts"
	// ReasonPermanent: the handler said that no retry can succeed.
	ReasonPermanent = "permanent"
	// ReasonUndecodable: the codec could not decode the body for its kind.
	ReasonUndecodable = "undecodable"
	// ReasonBodyUnavailable: the codec said that it could not decode the body yet, for
	// longer than the worker's bound.
	ReasonBodyUnavailable = "body-unavailable"
	// ReasonUnknownKind: no worker that met the job knew its kind or content type,
	// for longer than the worker's bound.
	ReasonUnknownKind = "unknown-kind"
	// ReasonExpired: the job was not started by its deadline.
	ReasonExpired = "expired"
	// ReasonPoison: too many holders vanished while they had the job.
	ReasonPoison = "poison"
	// ReasonTooLarge: the job did not fit the broker any more with the history of its
	// failures.
	ReasonTooLarge = "too-large"
	// ReasonRemoved: the broker took the job out of its queue by itself, as an operator's
	// policy told it to: the driver only sees to it that the job is kept.
	ReasonRemoved = "removed"
	// ReasonRefused: the job was to be moved to another broker, which cannot keep it.
	ReasonRefused = "refused"
	// ReasonUnreadable: the driver could not read the broker's entry as a job.
	ReasonUnreadable = "unreadable"
)
