package batch

import (
	"fmt"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

// Option says how one job is enqueued. It belongs to a capability set: an option
// that was made for a queue with another set does not compile. All options take
// the queue as their first argument, from which D is inferred.
//
// It is a struct because Go would accept an interface whose methods do not mention
// D for any D.
type Option[D Driver] struct {
	apply func(*draft) error
}

// ID names the job, instead of an ID that batch makes: 1 to 128 bytes of printable
// ASCII without spaces. Brokers do not refuse a second job with the same ID; that
// is what [Unique] is for. With an ID of your own you can repeat an enqueue whose
// fate is unknown, if the handler is idempotent by the ID.
func ID[D Driver](q *Queue[D], id string) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkToken("ID", id); err != nil {
			return err
		}
		job.message.ID = id
		return nil
	}}
}

// Header attaches a header. The name is 1 to 64 bytes of [A-Za-z0-9_.-] and does
// not start with "batch-"; the value is any bytes. A second Header with the same
// name replaces the first. A job has at most 100 headers, and the driver's limits
// bound their size.
func Header[D Driver](q *Queue[D], name, value string) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkHeaderName(name); err != nil {
			return err
		}
		job.setHeader(name, value)
		return nil
	}}
}

// Headers attaches all headers of a map, as [Header] does. The map is copied now: what the
// caller does to it later is of no effect, however long the option is used.
func Headers[D Driver](q *Queue[D], headers map[string]string) Option[D] {
	type header struct{ name, value string }
	all, err := make([]header, 0, min(len(headers), maxHeaders)), error(nil)
	if len(headers) > maxHeaders {
		err = invalid("headers", fmt.Sprintf("of %d names", len(headers)), fmt.Sprintf("at most %d", maxHeaders))
	}
	for name, value := range headers {
		if err != nil {
			break
		}
		err = checkHeaderName(name)
		all = append(all, header{name, value})
	}
	return Option[D]{func(job *draft) error {
		if err != nil {
			return err
		}
		for _, h := range all {
			job.setHeader(h.name, h.value)
		}
		return nil
	}}
}

// MaxAttempts is how many times the handler may fail before the job is
// dead-lettered: 1 to 1000. Defaults to the handler's or the worker's, which
// defaults to 25.
func MaxAttempts[D Driver](q *Queue[D], n int) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkMaxAttempts(n); err != nil {
			return err
		}
		job.message.MaxAttempts = n
		return nil
	}}
}

// Timeout bounds one run of the handler: 1 ms to 30 days. Defaults to the
// handler's or the worker's, which defaults to 30 minutes.
func Timeout[D Driver](q *Queue[D], d time.Duration) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkTimeout(d); err != nil {
			return err
		}
		job.message.Timeout = d.Truncate(time.Millisecond)
		return nil
	}}
}

// ExpiresIn is for how long after the enqueue a job may be started: 1 ms to 10 years.
// A worker that receives the job later does not run it, but moves it to the dead
// letters with the reason "expired". A job that is running is not stopped, and a
// retry counts as a start. The worker compares its own clock with the producer's.
func ExpiresIn[D Driver](q *Queue[D], d time.Duration) Option[D] {
	return Option[D]{func(job *draft) error {
		const most = 10 * 365 * 24 * time.Hour
		if d < time.Millisecond || d > most {
			return invalid("ExpiresIn", d.String(), "1ms to "+span(most))
		}
		job.expiry = d
		return nil
	}}
}

// Priority is the job's level. Without it a job is Normal.
func Priority[D Prioritizer](q *Queue[D], level Level) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkLevel(level); err != nil {
			return err
		}
		job.message.Level = level
		return nil
	}}
}

// ParseLevel returns the level with this name, in upper or lower case: "trivial",
// "low", "normal", "high" or "critical". Anything else is an error that wraps
// [ErrInvalid].
func ParseLevel(name string) (Level, error) {
	level, err := driver.ParseLevel(name)
	if err != nil {
		return level, invalid("priority level", quote(name), "one of trivial, low, normal, high, critical")
	}
	return level, nil
}

// Delay holds the job back for d, from when the broker stores it: zero to the
// driver's MaxDelay. It cannot be combined with [Group].
func Delay[D Delayer](q *Queue[D], d time.Duration) Option[D] {
	return Option[D]{func(job *draft) error { return job.setDelay("Delay", d.String(), d, q.driver.MaxDelay()) }}
}

// At holds the job back until t, by the clock of this process. A time in the past
// means no delay. It cannot be combined with [Group].
func At[D Delayer](q *Queue[D], t time.Time) Option[D] {
	return Option[D]{func(job *draft) error {
		return job.setDelay("At", t.Format(time.RFC3339), max(time.Until(t), 0), q.driver.MaxDelay())
	}}
}

// Unique makes the job a duplicate if a job with the same key was enqueued on the
// queue within the driver's DedupWindow. A duplicate is not stored, and its
// [Receipt] says so. The key is 1 to 128 bytes of printable ASCII without spaces.
func Unique[D Deduplicator](q *Queue[D], key string) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkToken("Unique key", key); err != nil {
			return err
		}
		job.message.DedupKey, job.message.DedupWithin = key, 0
		return nil
	}}
}

// UniqueWithin is [Unique] with a window of its own, which begins with this job: 1 s
// to the driver's DedupWindow. Choose it by what the key is for.
func UniqueWithin[D Deduplicator](q *Queue[D], key string, within time.Duration) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkToken("Unique key", key); err != nil {
			return err
		}
		if err := checkDedupWithin(within, q.driver.DedupWindow()); err != nil {
			return err
		}
		job.message.DedupKey, job.message.DedupWithin = key, within.Truncate(time.Millisecond)
		return nil
	}}
}

// Group puts the job into a group. It is handed out only when every job of the
// group that was enqueued before it is done or dead. The name is 1 to 128 bytes of
// printable ASCII without spaces. It cannot be combined with [Delay] or [At].
func Group[D Grouper](q *Queue[D], name string) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := checkToken("Group", name); err != nil {
			return err
		}
		job.message.Group = name
		job.grouped = true
		return nil
	}}
}

// draft makes the message of a job, without its body, and checks what can be checked
// of it. Nothing is sent of one with an error.
func (q *Queue[D]) draft(args Args, options []Option[D]) outgoing {
	job := new(draft)
	o := outgoing{message: &job.message, args: args}
	for _, apply := range q.defaults {
		if o.err = apply(job); o.err != nil {
			return o
		}
	}
	for _, option := range options {
		if o.err = option.use(job); o.err != nil {
			return o
		}
	}
	o.err = job.complete(args)
	o.notApplied = job.notApplied
	return o
}

// use applies the option to a job.
func (o Option[D]) use(job *draft) error {
	if o.apply == nil {
		return invalid("option", "the zero Option", "made by one of the option functions")
	}
	return o.apply(job)
}

// With returns the same queue with options for every job that is enqueued on it.
// They are applied before those of the call, after those of an earlier With. It
// costs next to nothing, and both handles share their requests to the broker.
func (q *Queue[D]) With(options ...Option[D]) *Queue[D] {
	with := *q
	with.defaults = slices.Clone(q.defaults)
	for _, o := range options {
		with.defaults = append(with.defaults, o.use)
	}
	return &with
}
