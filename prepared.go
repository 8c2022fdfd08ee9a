package batch

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/batch-go/batch/driver"
)

// Prepared is a job that was checked and encoded by [Queue.Prepare], to be sent by
// [Queue.EnqueuePrepared]: later, on any queue, and perhaps by another program. An
// outbox is its main use: the job is stored in the transaction of the
// application's data, and sent when that is committed.
//
// All times count from Prepare: the job was enqueued then, a delay began then, and
// so did an expiry. Only the window of a [Unique] key begins when the job is stored.
// The hooks are called when it is sent, with the context of that call: what has to
// come from the request, such as a trace context, is given to Prepare as a [Header].
// The name of the queue is not part of it. As JSON it has the form that docs/wire.md describes. The zero
// value is no job, and is refused. A Prepared does not change, and is safe for
// concurrent use.
type Prepared struct {
	message driver.Message // its Delay is zero
	dueAt   time.Time      // zero for at once
	// notApplied are the options that the driver of Prepare does not support.
	notApplied []string
}

// ID is the job's ID.
func (p *Prepared) ID() string { return p.message.ID }

// Kind is the kind of the job's args.
func (p *Prepared) Kind() string { return p.message.Kind }

// Prepare checks and encodes a job as [Queue.Enqueue] does, and does not send it. It
// does not talk to the broker, and calls no hooks: those are called when the job is
// sent. Its errors wrap [ErrInvalid]. Whether an option that ends in IfSupported is
// applied depends on the broker of this queue; the receipts of the job say so.
func (q *Queue[D]) Prepare(ctx context.Context, args Args, options ...Option[D]) (*Prepared, error) {
	o := q.draft(args, options)
	if o.err != nil {
		return nil, o.err
	}
	m := o.message
	if err := q.producer.encode(ctx, "", m, args); err != nil {
		return nil, err
	}
	p := &Prepared{message: *m, notApplied: o.notApplied}
	if m.Delay > 0 {
		p.dueAt, p.message.Delay = m.EnqueuedAt.Add(m.Delay), 0
	}
	return p, nil
}

// EnqueuePrepared stores prepared jobs, each independently of the others, as
// [Queue.EnqueueMany] does. The options of the queue's handle are not applied. If
// the broker lacks what a job needs, a priority for example, the job is refused with
// a [*CapabilityError], and nothing of it was sent.
//
// A job that is sent twice is stored twice, with the same ID.
func (q *Queue[D]) EnqueuePrepared(ctx context.Context, jobs ...*Prepared) ([]Result, error) {
	return q.producer.enqueueEach(ctx, len(jobs), func(i int) outgoing { return jobs[i].outgoing(q.driver) })
}

// Entry is the job as [Import] takes it: waiting, or scheduled if it is held back still. The zero value is that of nil
// and of the zero Prepared, and is refused. An import neither checks nor takes a [Unique] key.
func (p *Prepared) Entry() Entry {
	if p == nil || p.message.ID == "" {
		return Entry{}
	}
	e := Entry{Message: p.message, State: StateWaiting}
	e.Headers = maps.Clone(e.Headers)
	if time.Until(p.dueAt) > 0 {
		e.State, e.DueAt = StateScheduled, p.dueAt
	}
	return e
}

// outgoing makes the message of a prepared job, and checks what it needs of a driver.
func (p *Prepared) outgoing(d driver.Driver) outgoing {
	if p == nil || p.message.ID == "" {
		return outgoing{err: invalid("prepared job", "nil or zero", "one that Prepare made")}
	}
	m := p.message
	if !p.dueAt.IsZero() {
		m.Delay = max(time.Until(p.dueAt), 0)
	}
	err := checkSupport(d, &m, p.dueAt.Format(time.RFC3339))
	return outgoing{message: &m, err: err, notApplied: slices.Clone(p.notApplied)}
}

// preparedVersion is the version of the stored form. It grows when a reader of the
// form before could take the new one for something else.
const preparedVersion = 1

// preparedForm is the stored form of a prepared job, which docs/wire.md describes.
type preparedForm struct {
	Version      int               `json:"version"`
	ID           string            `json:"id"`
	Kind         string            `json:"kind"`
	ContentType  string            `json:"content_type"`
	Body         []byte            `json:"body,omitempty"`
	Headers      map[string][]byte `json:"headers,omitempty"`
	EnqueuedAt   time.Time         `json:"enqueued_at"`
	ExpiresAt    time.Time         `json:"expires_at,omitzero"`
	DueAt        time.Time         `json:"due_at,omitzero"`
	MaxAttempts  int               `json:"max_attempts,omitzero"`
	Timeout      int64             `json:"timeout_ms,omitzero"`
	Level        Level             `json:"level,omitzero"`
	UniqueKey    string            `json:"unique_key,omitzero"`
	UniqueWithin int64             `json:"unique_within_ms,omitzero"`
	Group        string            `json:"group,omitzero"`
	NotApplied   []string          `json:"not_applied,omitempty"`
}

// MarshalJSON is the stored form, of a value and of a pointer. The zero value has none.
func (p Prepared) MarshalJSON() ([]byte, error) {
	m := &p.message
	if m.ID == "" {
		return nil, invalid("prepared job", "zero", "one that Prepare made")
	}
	form := preparedForm{
		Version: preparedVersion, ID: m.ID, Kind: m.Kind, ContentType: m.ContentType, Body: m.Body,
		EnqueuedAt: m.EnqueuedAt, ExpiresAt: m.ExpiresAt, DueAt: p.dueAt,
		MaxAttempts: m.MaxAttempts, Timeout: m.Timeout.Milliseconds(), Level: m.Level,
		UniqueKey: m.DedupKey, UniqueWithin: m.DedupWithin.Milliseconds(), Group: m.Group, NotApplied: p.notApplied,
	}
	if len(m.Headers) > 0 {
		form.Headers = make(map[string][]byte, len(m.Headers))
		for name, value := range m.Headers {
			form.Headers[name] = []byte(value)
		}
	}
	return json.Marshal(form)
}

// UnmarshalJSON reads the stored form. It fails with an error that wraps
// [ErrInvalid] if that is of a later version, has unknown fields or one out of
// bounds; p is then as it was.
func (p *Prepared) UnmarshalJSON(text []byte) error {
	var form preparedForm
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&form); err != nil {
		return &InvalidError{Field: "prepared job", Bound: "in the form of docs/wire.md", Err: err}
	}
	if decoder.More() {
		return invalid("prepared job", "with more after it", "one JSON value")
	}
	if form.Version != preparedVersion {
		return invalid("prepared job", fmt.Sprintf("of version %d", form.Version), fmt.Sprintf("of version %d", preparedVersion))
	}
	const most = math.MaxInt64 / int64(time.Millisecond)
	if min(form.Timeout, form.UniqueWithin) < 0 || max(form.Timeout, form.UniqueWithin) > most {
		return invalid("prepared job", "with a duration that is negative or overflows", "in the form of docs/wire.md")
	}
	read := Prepared{dueAt: form.DueAt, notApplied: form.NotApplied, message: driver.Message{
		ID: form.ID, Kind: form.Kind, ContentType: form.ContentType, Body: form.Body,
		EnqueuedAt: form.EnqueuedAt, ExpiresAt: form.ExpiresAt,
		MaxAttempts: form.MaxAttempts, Timeout: time.Duration(form.Timeout) * time.Millisecond, Level: form.Level,
		DedupKey: form.UniqueKey, DedupWithin: time.Duration(form.UniqueWithin) * time.Millisecond, Group: form.Group,
	}}
	for name, value := range form.Headers {
		if read.message.Headers == nil {
			read.message.Headers = make(map[string]string, len(form.Headers))
		}
		read.message.Headers[name] = string(value)
	}
	if err := checkMessage(&read.message); err != nil {
		return err
	}
	if !read.dueAt.IsZero() && read.message.Group != "" {
		return errGroupWithDelay()
	}
	*p = read
	return nil
}
