package batch

import (
	"context"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/uuid"
)

// draft is a job that is being made: its message, and what options said that is
// not in the message as such.
type draft struct {
	message   driver.Message
	expiry    time.Duration
	delayedBy string // the option that set the delay, or empty
	grouped   bool
	// notApplied are the options that the driver does not support and that need not
	// be applied.
	notApplied []string
}

// setDelay holds the job back, within the driver's bound. value is what the option
// field was called with.
func (job *draft) setDelay(field, value string, d, most time.Duration) error {
	if err := checkDelay(field, value, d, most); err != nil {
		return err
	}
	job.message.Delay = d
	return job.delays(field)
}

// delays takes note that the option field holds the job back.
func (job *draft) delays(field string) error {
	if job.delayedBy != "" && job.delayedBy != field {
		return invalid("options", "Delay with At", "one or the other")
	}
	job.delayedBy = field
	return nil
}

// skip takes note that an option is not applied.
func (job *draft) skip(option string) {
	if !slices.Contains(job.notApplied, option) { // it may be one of With, and of the call
		job.notApplied = append(job.notApplied, option)
	}
}

// setHeader attaches a header whose name was checked.
func (job *draft) setHeader(name, value string) {
	if job.message.Headers == nil {
		job.message.Headers = make(map[string]string)
	}
	job.message.Headers[name] = value
}

// complete fills in what the options left open.
func (job *draft) complete(args Args) (err error) {
	m := &job.message
	if args == nil {
		return invalid("args", "nil", "a value")
	}
	if m.Kind, err = kindOf(args); err != nil {
		return err
	}
	if job.delayedBy != "" && job.grouped {
		return errGroupWithDelay()
	}
	now := time.Now()
	if m.ID == "" {
		m.ID = uuid.NewV7(now)
	}
	m.EnqueuedAt = now.UTC().Truncate(time.Millisecond)
	if job.expiry > 0 {
		m.ExpiresAt = m.EnqueuedAt.Add(job.expiry)
	}
	return nil
}

// errGroupWithDelay refuses a job of a group that is to be held back.
func errGroupWithDelay() error {
	return invalid("options", "Group with Delay or At", "one or the other: a job that is held back would hold up its group")
}

// complete calls the hooks and makes the body. Nothing has been sent when it fails.
func (p *producer) complete(ctx context.Context, o *outgoing) error {
	if o.err != nil {
		return o.err
	}
	m := o.message
	orderly := false
	defer func() {
		if !orderly { // the codec or a hook ends this goroutine
			_ = p.refuse(*o, errGoexit())
		}
	}()
	o.ctx = ctx
	err := p.hooks.onEnqueueStart(&o.ctx, m, p.queue)
	switch {
	case err != nil:
	case o.args == nil:
		err = checkSize(m, &p.info)
	default:
		err = p.encode(o.ctx, p.queue, m, o.args)
	}
	orderly = true
	if err != nil {
		err = p.refuse(*o, err)
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
