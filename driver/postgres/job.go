package postgres

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/wire"
)

// jobColumns are the columns that jobs and dead letters have in common, in the order of [record].
const jobColumns = ` level, id, kind, content_type, body, enqueued_at, expires_at, max_attempts, timeout_ms, headers,
	deliveries, failures, bounces, bounced_since, last_error, dedup_key, grp `

// record is a row of a job.
type record struct {
	seq          int64
	level        int16
	id, kind     string
	contentType  string
	body         []byte
	enqueuedAt   int64
	expiresAt    *int64
	maxAttempts  *int32
	timeout      *int64
	headers      *string
	deliveries   int32
	failures     int32
	bounces      int32
	bouncedSince *int64
	lastError    []byte
	key, group   *string
}

// fields are where the columns of jobColumns go, behind others.
func (r *record) fields(others ...any) []any {
	return append(others, &r.level, &r.id, &r.kind, &r.contentType, &r.body, &r.enqueuedAt, &r.expiresAt, &r.maxAttempts, &r.timeout, &r.headers,
		&r.deliveries, &r.failures, &r.bounces, &r.bouncedSince, &r.lastError, &r.key, &r.group)
}

// scan reads a row.
func (r *record) scan(rows pgx.Rows, others ...any) error {
	if err := rows.Scan(r.fields(others...)...); err != nil {
		return fmt.Errorf("%w: %w", errAnswer, err)
	}
	return nil
}

// message is the job as it was enqueued.
func (r *record) message() (driver.Message, error) {
	m := driver.Message{
		ID: r.id, Kind: r.kind, ContentType: r.contentType, Body: r.body,
		EnqueuedAt: timeOf(&r.enqueuedAt), ExpiresAt: timeOf(r.expiresAt),
		Level: levelOf(r.level), DedupKey: textOf(r.key), Group: textOf(r.group),
	}
	if r.maxAttempts != nil {
		m.MaxAttempts = int(*r.maxAttempts)
	}
	if r.timeout != nil {
		m.Timeout = time.Duration(*r.timeout) * time.Millisecond
	}
	if r.headers == nil {
		return m, nil
	}
	var values map[string][]byte
	if err := json.Unmarshal([]byte(*r.headers), &values); err != nil {
		return m, fmt.Errorf("%w: the headers of job %s: %w", errAnswer, r.id, err)
	}
	m.Headers = make(map[string]string, len(values))
	for name, value := range values {
		m.Headers[name] = string(value)
	}
	return m, nil
}

// headersOf is the stored form of headers, or nil.
func headersOf(headers map[string]string) *string {
	if len(headers) == 0 {
		return nil
	}
	values := make(map[string][]byte, len(headers))
	for name, value := range headers {
		values[name] = []byte(value)
	}
	text, _ := json.Marshal(values) // cannot fail
	stored := string(text)
	return &stored
}

// levelOf is a level, or the usual one for a number that is none: somebody else has stored it.
func levelOf(n int16) driver.Level {
	if level := driver.Level(n); int16(level) == n && level.Valid() {
		return level
	}
	return driver.Normal
}

// timeOf is a time in Unix milliseconds, or zero.
func timeOf(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return inYears(time.UnixMilli(*ms))
}

// inYears is a time in UTC, or zero if it cannot be written as text: somebody else has stored it.
func inYears(t time.Time) time.Time {
	if t.Before(time.UnixMilli(wire.MinTime)) || t.After(time.UnixMilli(wire.MaxTime)) {
		return time.Time{}
	}
	return t.UTC()
}

// millisOf is a time in Unix milliseconds, or nil for zero.
func millisOf(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// textOf is a text, or empty for none.
func textOf(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// orNil is a value, or nil if it is zero.
func orNil[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

// some is a column of values, or nil if none is set.
func some[T any](column []*T) []*T {
	for _, v := range column {
		if v != nil {
			return column
		}
	}
	return nil
}
