package batchtest

import (
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// NewJob makes a job as a worker hands it to a handler. Its ID is new, its kind is that of args, its
// queue "batchtest"; it was enqueued now, with JSON as the codec, and this is the first of 25 attempts,
// of 30 minutes each. Options say otherwise. DecodedArgs are args, so that middleware and idempotency keys
// work. A value that no job can have fails the test.
//
// The job's Timeout bounds nothing here, as the context is the caller's: [Work] has one like a worker's. To
// see what a handler does when it has to stop, cancel its context with [batch.ErrShutdown],
// [batch.ErrLeaseLost] or [batch.ErrTimeout] as the cause.
func NewJob[A batch.Args](t testing.TB, args A, options ...JobOption) *batch.Job[A] {
	t.Helper()
	made := make([]WorkOption, len(options))
	for i, o := range options {
		made[i] = o
	}
	ctx, cancel := bounded(t)
	defer cancel()
	w, entry := prepare(ctx, t, args, made)
	info := batch.JobInfo{
		ID: entry.ID, Kind: entry.Kind, Queue: w.queue,
		Attempt: entry.Failures + 1, MaxAttempts: entry.MaxAttempts, Deliveries: entry.Deliveries + 1, LastError: entry.LastError,
		EnqueuedAt: entry.EnqueuedAt, ExpiresAt: entry.ExpiresAt, Timeout: entry.Timeout,
		Priority: entry.Level, Group: entry.Group, Headers: entry.Headers, ContentType: entry.ContentType, Body: entry.Body,
	}
	if info.MaxAttempts == 0 {
		info.MaxAttempts = 25
	}
	if info.Timeout == 0 {
		info.Timeout = 30 * time.Minute
	}
	return batch.NewJob(info, args)
}
