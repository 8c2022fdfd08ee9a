package amqp

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

const (
	// levelCount is how many levels of priority there are.
	levelCount = int(driver.Critical-driver.Trivial) + 1
	// basePriority is the property priority of Trivial. RabbitMQ takes a message
	// without one as 0 on classic queues and as 4 on quorum queues, so that 0 is
	// left out here.
	basePriority = 1
)

// priorityOf is the property priority of a level.
func priorityOf(l driver.Level) uint8 { return uint8(int(l-driver.Trivial) + basePriority) }

// priorityToHeader moves the priority of a message into a header, for a queue that
// has to be first in, first out.
func priorityToHeader(m *amqp091.Publishing) {
	if m.Priority != 0 {
		m.Headers[hLevel] = int64(m.Priority) - basePriority + int64(driver.Trivial)
		m.Priority = 0
	}
}

// priorityFromHeader undoes it.
func priorityFromHeader(m *amqp091.Publishing) {
	if _, ok := m.Headers[hLevel]; ok {
		r := reader{headers: m.Headers}
		m.Priority = priorityOf(driver.Level(r.number(hLevel, int64(driver.Trivial), int64(driver.Critical))))
		delete(m.Headers, hLevel)
	}
}

// history is what a message carries beside the job itself. The zero value is that
// of a job that was just enqueued, or redriven.
type history struct {
	failures     int
	lastError    string
	bounces      int
	bouncedSince time.Time // zero without bounces
	deliveries   int       // when the message was stored, or with the one that decode read
	losses       int       // of holders, before the message was stored
}

// historyOf is the history of a delivery, for a message that takes its place with
// nothing added to it. handedOut is how often the job has been handed out.
func historyOf(d *driver.Delivery, handedOut int) history {
	return history{
		failures: d.Failures, lastError: d.LastError, bounces: d.Bounces, bouncedSince: d.BouncedSince,
		deliveries: handedOut, losses: d.Redeliveries,
	}
}

// put adds the headers of a history.
func (h *history) put(headers amqp091.Table) {
	if h.failures != 0 {
		headers[hFailures] = int64(h.failures)
	}
	if h.lastError != "" {
		headers[hError] = h.lastError
	}
	if h.bounces != 0 {
		headers[hBounces] = int64(h.bounces)
	}
	if !h.bouncedSince.IsZero() {
		headers[hSince] = h.bouncedSince.UnixMilli()
	}
	if h.deliveries != 0 {
		headers[hDeliveries] = int64(h.deliveries)
	}
	if h.losses != 0 {
		headers[hLosses] = int64(h.losses)
	}
}

// encode makes the message of a job for its waiting queue.
func encode(m *driver.Message, h history) amqp091.Publishing {
	headers := make(amqp091.Table, 1+len(m.Headers))
	headers[hAt] = m.EnqueuedAt.UnixMilli()
	if !m.ExpiresAt.IsZero() {
		headers[hExpires] = m.ExpiresAt.UnixMilli()
	}
	if m.MaxAttempts != 0 {
		headers[hMax] = int64(m.MaxAttempts)
	}
	if m.Timeout != 0 {
		headers[hTimeout] = wire.Millis(m.Timeout)
	}
	putApplication(headers, m.Headers)
	h.put(headers)
	return amqp091.Publishing{
		MessageId:    m.ID,
		Type:         m.Kind,
		ContentType:  m.ContentType,
		Timestamp:    m.EnqueuedAt,
		Priority:     priorityOf(m.Level),
		DeliveryMode: amqp091.Persistent,
		Headers:      headers,
		Body:         m.Body,
	}
}

// markDead makes a dead letter of a message. Its priority goes into a header, for
// the dead letters are to stay in the order in which they died.
func markDead(m *amqp091.Publishing, reason string, now time.Time) {
	priorityToHeader(m)
	entry := make([]byte, 8)
	_, _ = rand.Read(entry) // cannot fail
	m.Headers[hReason] = reason
	m.Headers[hDied] = now.UnixMicro()
	m.Headers[hEntry] = hex.EncodeToString(entry)
}

// unreadable is the dead letter of a message that is no job.
func unreadable(d *amqp091.Delivery, why string) amqp091.Publishing {
	j := decode(d)
	headers := make(amqp091.Table, len(j.Headers)+8)
	putApplication(headers, j.Headers)
	headers[hError] = clip(why)
	headers[hDeliveries] = int64(j.deliveries)
	m := amqp091.Publishing{
		MessageId: j.ID, Type: j.Kind, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding,
		Timestamp: d.Timestamp, Priority: d.Priority, DeliveryMode: amqp091.Persistent, Headers: headers, Body: d.Body,
	}
	markDead(&m, driver.ReasonUnreadable, time.Now())
	if !wire.IsToken(m.MessageId) {
		m.MessageId = "unreadable-" + m.Headers[hEntry].(string) // to name it by
	}
	return m
}

// job is a message as read, with the fields of all states.
type job struct {
	driver.Message
	history
	before       int // deliveries when the message was stored
	redeliveries int
	reason       string
	diedAt       time.Time
	entry        string
	// bad says why the message is no job, else it is empty.
	bad string
}

// noMediaType is the content type of a body whose producer did not say.
const noMediaType = "application/octet-stream"

// decode reads a message. It never stops at what it cannot understand: bad tells
// that it is no job, and the other fields are what there was.
func decode(d *amqp091.Delivery) job {
	r := reader{headers: d.Headers}
	j := job{Message: driver.Message{
		ID: d.MessageId, Kind: d.Type, Body: d.Body, ContentType: d.ContentType,
	}}
	if j.ContentType == "" {
		j.ContentType = noMediaType
	}
	switch {
	case !wire.IsToken(d.MessageId):
		r.bad = "the property message-id is missing or no ID"
	case !wire.IsToken(d.Type):
		r.bad = "the property type is missing or no kind"
	}
	if !wire.IsMediaType(j.ContentType) {
		r.bad, j.ContentType = "the property content-type is no media type", noMediaType
	}
	j.EnqueuedAt = r.time(hAt, time.Millisecond)
	if j.EnqueuedAt.IsZero() {
		j.EnqueuedAt = bounded(d.Timestamp) // of a producer in another language
	}
	j.ExpiresAt = r.time(hExpires, time.Millisecond)
	j.MaxAttempts = int(r.number(hMax, 0, 1<<31-1))
	j.Timeout = time.Duration(r.number(hTimeout, 0, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond
	j.failures = int(r.number(hFailures, 0, maxCount))
	j.lastError = r.text(hError)
	j.bounces = int(r.number(hBounces, 0, maxCount))
	j.bouncedSince = r.time(hSince, time.Millisecond)
	j.losses = int(r.number(hLosses, 0, maxCount))
	j.reason, j.entry = r.token(hReason), r.token(hEntry)
	j.diedAt = r.time(hDied, time.Microsecond)
	if p := int(d.Priority); p >= basePriority {
		j.Level = driver.Level(min(p-basePriority, levelCount-1)) + driver.Trivial
	}
	if _, ok := d.Headers[hLevel]; ok {
		j.Level = driver.Level(r.number(hLevel, int64(driver.Trivial), int64(driver.Critical)))
	}
	j.before = int(r.number(hDeliveries, 0, maxCount))
	handedOut, lost := r.returns(d.Redelivered)
	j.deliveries = j.before + handedOut + 1
	j.redeliveries = j.losses + lost
	j.Headers = r.application()
	j.bad = r.bad
	if j.reason == "" {
		if gone, ok := removalOf(d.Headers); ok {
			j.keep(gone)
		}
	}
	return j
}

// keep makes a dead letter of a job that RabbitMQ removed from its queue.
func (j *job) keep(r removal) {
	const policies = "%s (RabbitMQ removed it from %q: see the policies that apply to that queue)"
	text := fmt.Sprintf(policies, r.reason, r.queue)
	if j.lastError != "" {
		text += "; the last failure was: " + j.lastError
	}
	j.reason, j.lastError, j.diedAt, j.entry = driver.ReasonRemoved, clip(text), r.at, j.ID
}
