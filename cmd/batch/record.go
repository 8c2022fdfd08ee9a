package main

import (
	"encoding/base64"
	"time"
	"unicode/utf8"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/depths"
)

// The objects that --json prints. Their fields are a promise to programs: they keep their
// names and meanings, and new ones may come. What the broker cannot tell is null.

// depthRecord is a queue with its counts.
type depthRecord struct {
	Queue     string `json:"queue"`
	Waiting   *int64 `json:"waiting"`
	Scheduled *int64 `json:"scheduled"`
	Running   *int64 `json:"running"`
	Dead      *int64 `json:"dead"`
	// Due is how many of the scheduled jobs only wait for a worker.
	Due *int64 `json:"due"`
	// AgeSeconds is how long the oldest waiting job has waited.
	AgeSeconds *float64 `json:"age_seconds"`
	Paused     *bool    `json:"paused"`
}

// depthOf makes the record of a queue. paused is nil if the broker cannot pause.
func depthOf(queue string, d batch.Depth, paused *bool) depthRecord {
	return depthRecord{
		Queue: queue, Paused: paused,
		Waiting: depths.Known(d.Waiting), Scheduled: depths.Known(d.Scheduled), Running: depths.Known(d.Running),
		Dead: depths.Known(d.Dead), Due: depths.Known(d.Due), AgeSeconds: depths.KnownAge(d.Age),
	}
}

// jobRecord is a job: waiting, scheduled or dead.
type jobRecord struct {
	Queue string `json:"queue"`
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	State string `json:"state"`
	Level string `json:"level"`
	// Failures is how many attempts are spent, and Deliveries how often the job was handed
	// to a worker.
	Failures   int `json:"failures"`
	Deliveries int `json:"deliveries"`
	// MaxAttempts is zero if it is left to the worker.
	MaxAttempts int        `json:"max_attempts"`
	EnqueuedAt  *time.Time `json:"enqueued_at,omitempty"`
	DueAt       *time.Time `json:"due_at,omitempty"`
	ExpiresAt   *time.Time `json:"expires_at,omitempty"`
	DeadAt      *time.Time `json:"dead_at,omitempty"`
	Reason      string     `json:"reason,omitempty"`
	LastError   string     `json:"last_error,omitempty"`
	Unique      string     `json:"unique,omitempty"`
	Group       string     `json:"group,omitempty"`
	ContentType string     `json:"content_type"`
	Size        int        `json:"size"`

	// These are printed with --body only: a body that is text, or else its bytes.
	Body       *string           `json:"body,omitempty"`
	BodyBase64 string            `json:"body_base64,omitempty"`
	Headers    map[string]string `json:"headers,omitempty"`
}

// jobOf makes the record of a job, with body and headers if they are wanted.
func jobOf(queue string, e *batch.Entry, body bool) jobRecord {
	r := jobRecord{
		Queue: queue, ID: e.ID, Kind: e.Kind, State: e.State.String(), Level: e.Level.String(),
		Failures: e.Failures, Deliveries: e.Deliveries, MaxAttempts: e.MaxAttempts,
		EnqueuedAt: given(e.EnqueuedAt), DueAt: given(e.DueAt), ExpiresAt: given(e.ExpiresAt), DeadAt: given(e.DeadAt),
		Reason: e.Reason, LastError: e.LastError, Unique: e.DedupKey, Group: e.Group,
		ContentType: e.ContentType, Size: len(e.Body),
	}
	if !body {
		return r
	}
	if r.Headers = e.Headers; utf8.Valid(e.Body) {
		text := string(e.Body)
		r.Body = &text
	} else {
		r.BodyBase64 = base64.StdEncoding.EncodeToString(e.Body)
	}
	return r
}

// given is a time, or nil for none. One of a year that RFC 3339 cannot write, which another
// program may have made, is none.
func given(t time.Time) *time.Time {
	t = t.UTC()
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &t
}
