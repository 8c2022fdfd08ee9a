package batch

import (
	"time"

	"github.com/batch-go/batch/driver"
)

// Args are the arguments of a job: a type of your application that says what to
// do. The queue's [Codec] encodes them when the job is enqueued, and the worker
// decodes them, perhaps in another process that runs another version of the
// program. So they should be small values, without secrets and without pointers to
// state that may change in the meantime. See docs/concepts.md.
type Args interface {
	// Kind names the type on the wire: 1 to 128 bytes of [A-Za-z0-9._:/-]. It
	// must not change while jobs of the kind are stored, even if the Go type is
	// renamed, and it must not depend on the value: workers call it on a zero
	// value.
	Kind() string
}

// Level is a priority: Trivial, Low, Normal, High or Critical. The zero value is
// Normal. As text, in JSON for example, it is its name in lower case; [ParseLevel]
// reads that.
type Level = driver.Level

// The five levels of [Priority], lowest first.
const (
	Trivial  = driver.Trivial
	Low      = driver.Low
	Normal   = driver.Normal
	High     = driver.High
	Critical = driver.Critical
)

// JobInfo is what is known about a job apart from the type of its args. It is what
// hooks and middleware see, and they must not modify it.
type JobInfo struct {
	// ID, Kind and Queue name the job, its type and its queue.
	ID, Kind, Queue string
	// Attempt is 1 when the handler runs for the first time. It grows by one
	// with each failure of the handler, and with nothing else: a snooze, a drain
	// or the death of a worker does not spend an attempt.
	Attempt int
	// MaxAttempts is how many times the handler may fail before the job is
	// dead-lettered.
	MaxAttempts int
	// Deliveries is how often the broker has handed the job out, including this
	// time.
	Deliveries int
	// Bounces is how often a worker put the job back before because it could not run
	// it: it did not know the kind or the content type, or could not read the body at
	// that time.
	Bounces int
	// LastError is the text of the last failure, or empty.
	LastError string
	// EnqueuedAt is when the producer enqueued the job, by the producer's clock.
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
	// ContentType names the encoding of the body. Body is as it came from the
	// broker.
	ContentType string
	Body        []byte

	// decoded is the *Job[A] that the handler gets.
	decoded interface{ decodedArgs() Args }
	// run is the worker's task, nil for a job that no worker received.
	run any
}

// DecodedArgs are the args as the handler gets them: the same value as the Args of
// [Job]. In hooks they are nil if the job was not decoded.
func (j *JobInfo) DecodedArgs() Args {
	if j.decoded == nil {
		return nil
	}
	return j.decoded.decodedArgs()
}

// Job is what a handler gets: a job with its decoded args.
type Job[A Args] struct {
	*JobInfo
	// Args are the decoded args.
	Args A
}

// NewJob makes a job as a handler gets it, for tests of handlers and middleware: info, with
// args as the Args of the job and as its DecodedArgs. It checks nothing and fills nothing in.
// Package [github.com/batch-go/batch/batchtest] has a form that does.
func NewJob[A Args](info JobInfo, args A) *Job[A] {
	job := &Job[A]{JobInfo: &info, Args: args}
	info.decoded = job
	return job
}

// decodedArgs are the args with their type erased.
func (j *Job[A]) decodedArgs() Args { return j.Args }
