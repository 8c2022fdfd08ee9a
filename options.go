package batch

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/uuid"
)

// Option is how one job is enqueued. It belongs to a capability set: an option
// that was made for a queue of another one does not compile. All options take
// the queue as their first argument, which is where D comes from.
//
// It is a struct and not an interface because Go would accept an Option of one
// D where one of another is wanted if no method mentioned D.
type Option[D Driver] struct {
	apply func(*settings) error
}

// settings is a job in the making.
type settings struct {
	message  *driver.Message
	expiry   time.Duration
	hasDelay bool
}

func (s *settings) setDelay(field string, d, most time.Duration) error {
	if d < 0 || d > most {
		return invalid(field, d.String(), fmt.Sprintf("0 to %s on this driver", most))
	}
	s.message.Delay = d
	s.hasDelay = true
	return nil
}

// ID names the job, instead of an ID that batch makes: 1 to 128 bytes of
// printable ASCII without spaces. Brokers do not refuse a second job with the
// same ID; that is what [Unique] is for. An ID of your own makes an enqueue
// whose fate is unknown safe to repeat, if the handler is idempotent by it.
func ID[D Driver](q *Queue[D], id string) Option[D] {
	return Option[D]{func(s *settings) error {
		if err := checkToken("ID", id); err != nil {
			return err
		}
		s.message.ID = id
		return nil
	}}
}

// Header attaches a header: a name of 1 to 64 bytes of [A-Za-z0-9_.-] that does
// not start with "batch-", and a value of any bytes. A second Header of the
// same name replaces the first. A job has at most 100, and the driver's limits
// bound their size.
func Header[D Driver](q *Queue[D], name, value string) Option[D] {
	return Option[D]{func(s *settings) error {
		if err := checkHeaderName(name); err != nil {
			return err
		}
		s.setHeader(name, value)
		return nil
	}}
}

// Headers attaches all headers of a map, as [Header] does. The map is copied.
func Headers[D Driver](q *Queue[D], headers map[string]string) Option[D] {
	return Option[D]{func(s *settings) error {
		if len(headers) > maxHeaders {
			return invalid("headers", fmt.Sprintf("of %d names", len(headers)), fmt.Sprintf("at most %d", maxHeaders))
		}
		for name, value := range headers {
			if err := checkHeaderName(name); err != nil {
				return err
			}
			s.setHeader(name, value)
		}
		return nil
	}}
}

func (s *settings) setHeader(name, value string) {
	if s.message.Headers == nil {
		s.message.Headers = make(map[string]string)
	}
	s.message.Headers[name] = value
}

// MaxAttempts is how many times the handler may fail before the job is
// dead-lettered: 1 to 1000. Defaults to the worker's, which defaults to 25.
func MaxAttempts[D Driver](q *Queue[D], n int) Option[D] {
	return Option[D]{func(s *settings) error {
		if err := checkMaxAttempts(n); err != nil {
			return err
		}
		s.message.MaxAttempts = n
		return nil
	}}
}

// Timeout bounds one run of the handler: 1 ms to 30 days. Defaults to the
// handler's or the worker's, which defaults to 30 minutes.
func Timeout[D Driver](q *Queue[D], d time.Duration) Option[D] {
	return Option[D]{func(s *settings) error {
		if err := checkTimeout(d); err != nil {
			return err
		}
		s.message.Timeout = d.Truncate(time.Millisecond)
		return nil
	}}
}

// Expiry is how long after it was enqueued a job may still be started: 1 ms to
// 10 years. A worker that is handed the job later does not run it but moves it
// to the dead letters with the reason "expired". A job that is running is not
// stopped, and a retry counts as a start. Producer's and workers' clocks are
// compared.
func Expiry[D Driver](q *Queue[D], d time.Duration) Option[D] {
	return Option[D]{func(s *settings) error {
		const most = 10 * 365 * 24 * time.Hour
		if d < time.Millisecond || d > most {
			return invalid("Expiry", d.String(), fmt.Sprintf("1ms to %s", most))
		}
		s.expiry = d
		return nil
	}}
}

func checkMaxAttempts(n int) error {
	if n < 1 || n > 1000 {
		return invalid("MaxAttempts", strconv.Itoa(n), "1 to 1000")
	}
	return nil
}

func checkTimeout(d time.Duration) error {
	const most = 30 * 24 * time.Hour
	if d < time.Millisecond || d > most {
		return invalid("Timeout", d.String(), fmt.Sprintf("1ms to %s", most))
	}
	return nil
}

// prepare makes the message of a job, validated against every bound. Nothing
// has been sent when it fails.
func prepare[D Driver](ctx context.Context, q *Queue[D], args Args, options []Option[D]) (*driver.Message, error) {
	m := &driver.Message{}
	s := settings{message: m}
	for _, o := range options {
		if o.apply == nil {
			return nil, invalid("option", "the zero Option", "made by one of the option functions")
		}
		if err := o.apply(&s); err != nil {
			return nil, err
		}
	}
	return m, q.producer.complete(ctx, &s, args)
}

// complete fills in what the options left open.
func (p *producer) complete(ctx context.Context, s *settings, args Args) error {
	m := s.message
	if args == nil {
		return invalid("args", "nil", "a value")
	}
	kind, err := safeKind(args)
	if err != nil {
		return err
	}
	if err := checkKind(kind); err != nil {
		return err
	}
	m.Kind = kind
	if s.hasDelay && m.Group != "" {
		return invalid("options", "Group with Delay or At", "one or the other: a job held back would hold its group back")
	}
	if m.ID == "" {
		m.ID = uuid.NewV7()
	}
	m.EnqueuedAt = time.Now().UTC().Truncate(time.Millisecond)
	if s.expiry > 0 {
		m.ExpiresAt = m.EnqueuedAt.Add(s.expiry)
	}
	if len(p.hooks.enqueueStart) > 0 {
		if err := p.startHooks(ctx, m); err != nil {
			return err
		}
	}
	m.ContentType = p.contentType
	m.Body, err = p.codec.Encode(args)
	if err != nil {
		return &InvalidError{Field: "args", Value: "of kind " + kind, Bound: "encodable as " + p.contentType, Err: err}
	}
	return checkSize(m, &p.info)
}

// startHooks lets hooks add headers, and checks what they added.
func (p *producer) startHooks(ctx context.Context, m *driver.Message) error {
	e := EnqueueStart{ID: m.ID, Kind: m.Kind, Queue: p.queue, Headers: maps.Clone(m.Headers)}
	if e.Headers == nil {
		e.Headers = make(map[string]string)
	}
	for _, h := range p.hooks.enqueueStart {
		h.OnEnqueueStart(ctx, &e)
	}
	for name := range e.Headers {
		if err := checkHeaderName(name); err != nil {
			return err
		}
	}
	m.Headers = nil
	if len(e.Headers) > 0 {
		m.Headers = e.Headers
	}
	return nil
}

// safeKind calls Kind, which panics if args is a nil pointer with a value
// receiver.
func safeKind(args Args) (kind string, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = invalid("args", fmt.Sprintf("of type %T", args), "a value whose Kind method does not panic, and no nil pointer")
		}
	}()
	return args.Kind(), nil
}
