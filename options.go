package batch

import (
	"context"
	"fmt"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/uuid"
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

// draft is a job that is being made: its message, and what options said that is
// not in the message as such.
type draft struct {
	message   *driver.Message
	expiry    time.Duration
	delayedBy string // the option that set the delay, or empty
}

// setDelay holds the job back, within the driver's bound. value is what the option
// field was called with.
func (job *draft) setDelay(field, value string, d, most time.Duration) error {
	if d < 0 || d > most {
		return invalid(field, value, fmt.Sprintf("within %s from now on this driver", most))
	}
	if job.delayedBy != "" && job.delayedBy != field {
		return invalid("options", "Delay with At", "one or the other")
	}
	job.message.Delay = d
	job.delayedBy = field
	return nil
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

// Headers attaches all headers of a map, as [Header] does. The map is copied.
func Headers[D Driver](q *Queue[D], headers map[string]string) Option[D] {
	return Option[D]{func(job *draft) error {
		if len(headers) > maxHeaders {
			return invalid("headers", fmt.Sprintf("of %d names", len(headers)), fmt.Sprintf("at most %d", maxHeaders))
		}
		for name, value := range headers {
			if err := checkHeaderName(name); err != nil {
				return err
			}
			job.setHeader(name, value)
		}
		return nil
	}}
}

// setHeader attaches a header whose name was checked.
func (job *draft) setHeader(name, value string) {
	if job.message.Headers == nil {
		job.message.Headers = make(map[string]string)
	}
	job.message.Headers[name] = value
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
			return invalid("ExpiresIn", d.String(), fmt.Sprintf("1ms to %s", most))
		}
		job.expiry = d
		return nil
	}}
}

// Priority is the job's level. Without it a job is Normal.
func Priority[D Prioritizer](q *Queue[D], level Level) Option[D] {
	return Option[D]{func(job *draft) error {
		if !level.Valid() {
			return invalid("Priority", level.String(), "one of Trivial, Low, Normal, High, Critical")
		}
		job.message.Level = level
		return nil
	}}
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
		if most := q.driver.DedupWindow(); within < time.Second || within > most {
			return invalid("UniqueWithin", within.String(), fmt.Sprintf("1s to %s on this driver", most))
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
		return nil
	}}
}

// prepare makes the message of a job and checks it against every bound. Nothing
// has been sent when it fails.
func prepare[D Driver](ctx context.Context, q *Queue[D], args Args, options []Option[D]) (*driver.Message, error) {
	job, err := q.draft(args, options)
	if err != nil {
		return nil, err
	}
	return job.message, q.producer.complete(ctx, job.message, args)
}

// draft makes the message of a job, without its body.
func (q *Queue[D]) draft(args Args, options []Option[D]) (draft, error) {
	job := draft{message: &driver.Message{}}
	for _, list := range [...][]Option[D]{q.defaults, options} {
		for _, o := range list {
			if o.apply == nil {
				return job, invalid("option", "the zero Option", "made by one of the option functions")
			}
			if err := o.apply(&job); err != nil {
				return job, err
			}
		}
	}
	return job, job.complete(args)
}

// complete fills in what the options left open.
func (job *draft) complete(args Args) (err error) {
	m := job.message
	if args == nil {
		return invalid("args", "nil", "a value")
	}
	if m.Kind, err = kindOf(args); err != nil {
		return err
	}
	if job.delayedBy != "" && m.Group != "" {
		return errGroupWithDelay()
	}
	if m.ID == "" {
		m.ID = uuid.NewV7()
	}
	m.EnqueuedAt = time.Now().UTC().Truncate(time.Millisecond)
	if job.expiry > 0 {
		m.ExpiresAt = m.EnqueuedAt.Add(job.expiry)
	}
	return nil
}

// errGroupWithDelay refuses a job of a group that is to be held back.
func errGroupWithDelay() error {
	return invalid("options", "Group with Delay or At", "one or the other: a job that is held back would hold up its group")
}

// complete calls the hooks and makes the body.
func (p *producer) complete(ctx context.Context, m *driver.Message, args Args) error {
	err := p.hooks.onEnqueueStart(ctx, m, p.queue)
	if err == nil {
		err = p.encode(ctx, p.queue, m, args)
	}
	if err != nil {
		p.refuse(ctx, m, err)
	}
	return err
}

// encode makes the body, and checks what the message takes with it.
func (p *producer) encode(ctx context.Context, queue string, m *driver.Message, args Args) error {
	if raw, ok := rawOf(args); ok {
		m.ContentType, m.Body = raw.ContentType, raw.Body
		if err := checkContentType(m.ContentType); err != nil {
			return err
		}
		return checkSize(m, &p.info)
	}
	m.ContentType = p.contentType
	if err := encodeArgs(ctx, p.codec, queue, m, args); err != nil {
		return &InvalidError{Field: "args", Value: "of kind " + m.Kind, Bound: "encodable as " + p.contentType, Err: err}
	}
	return checkSize(m, &p.info)
}
