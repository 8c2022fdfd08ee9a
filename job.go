package batch

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// Args are the arguments of a job: a type of the application's that says what
// is to be done. They are encoded by the queue's [Codec] when the job is
// enqueued and decoded by the worker, possibly in another process running
// another version of the program, so they should be small values without
// secrets and without pointers to state that may change meanwhile. See
// docs/concepts.md.
type Args interface {
	// Kind names the type on the wire: 1 to 128 bytes of [A-Za-z0-9._:/-].
	// It must not change while jobs of it are stored, whatever becomes of the
	// Go type's name, and must not depend on the value: workers call it on a
	// zero value.
	Kind() string
}

// Level is a priority: one of Trivial, Low, Normal, High and Critical. The zero
// value is Normal.
type Level = driver.Level

// The five levels of [Priority], lowest first.
const (
	Trivial  = driver.Trivial
	Low      = driver.Low
	Normal   = driver.Normal
	High     = driver.High
	Critical = driver.Critical
)

// JobInfo is what is known of a job whatever the type of its args: what hooks
// and middleware see. It is not to be modified.
type JobInfo struct {
	// ID, Kind and Queue name the job, its type and where it was enqueued.
	ID, Kind, Queue string
	// Attempt is 1 when the handler runs for the first time and grows by one
	// with each of its failures, and with nothing else: neither a snooze, a
	// drain nor the death of a worker spends an attempt.
	Attempt int
	// MaxAttempts is how many times the handler may fail before the job is
	// dead-lettered.
	MaxAttempts int
	// Deliveries is how often the broker has handed the job out, this time
	// included, whatever came of it.
	Deliveries int
	// LastError is the text of the last failure, or empty.
	LastError string
	// EnqueuedAt is when the producer enqueued it, by the producer's clock.
	EnqueuedAt time.Time
	// ExpiresAt is the deadline for starting the job, zero if it has none.
	ExpiresAt time.Time
	// Timeout bounds one run of the handler.
	Timeout time.Duration
	// Priority is the job's level, and Group its group, on drivers that have
	// them.
	Priority Level
	Group    string
	// Headers are the producer's. Nil when there are none.
	Headers map[string]string
	// ContentType names the encoding of the body, and Body is the body as it
	// came from the broker.
	ContentType string
	Body        []byte

	// decoded is the *Job[A] that the handler will get.
	decoded interface{ decodedArgs() Args }
}

// DecodedArgs are the args as the handler will get them: the same value that
// [Job] has as Args. Nil in hooks for a job that was not decoded.
func (j *JobInfo) DecodedArgs() Args {
	if j.decoded == nil {
		return nil
	}
	return j.decoded.decodedArgs()
}

// Job is a job that a handler works on.
type Job[A Args] struct {
	*JobInfo
	// Args are the decoded args.
	Args A
}

func (j *Job[A]) decodedArgs() Args { return j.Args }
