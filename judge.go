package batch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/batch-go/batch/driver"
)

// judge decides what becomes of a worker's tasks. It gathers the facts that decide
// needs, from the task and from what the worker knows.
type judge struct {
	handlers map[string]*handler // by kind
	codecs   map[string]Codec    // by content type
	// The worker's policy and bounds, for jobs and kinds without their own.
	retry       RetryPolicy
	maxAttempts int
	timeout     time.Duration

	maxRedeliveries int
	// bounceTimeout is how long a job is put back again and again that this worker
	// cannot run.
	bounceTimeout time.Duration
	// suspectAt is how many redeliveries make a job a suspect.
	suspectAt int
	// maxDelay is the longest that the driver holds a retry back.
	maxDelay time.Duration
}

// bounceDelay says when a job comes back that a worker put back because it could not
// run it: after a random part of the time for which it has been put back, and of a
// second at least and a minute at most.
func bounceDelay(now, since time.Time) time.Duration {
	if since.IsZero() {
		since = now
	}
	return rand.N(min(max(now.Sub(since), time.Second), time.Minute))
}

// newTask makes the task for a delivery. The job's own bounds come before those of
// the kind, and those before the worker's. What the delivery says is bounded first.
func (j *judge) newTask(d *driver.Delivery, queue string, now time.Time) *task {
	believe(d, now)
	t := &task{delivery: d, handler: j.handlers[d.Kind]}
	t.job = JobInfo{
		ID: d.ID, Kind: d.Kind, Queue: queue,
		Attempt: d.Failures + 1, MaxAttempts: d.MaxAttempts, Deliveries: d.Deliveries, Bounces: d.Bounces,
		LastError:  d.LastError,
		EnqueuedAt: d.EnqueuedAt, ExpiresAt: d.ExpiresAt, Timeout: d.Timeout,
		Priority: d.Level, Group: d.Group,
		Headers: d.Headers, ContentType: d.ContentType, Body: d.Body,
		run: t,
	}
	if t.job.MaxAttempts == 0 && t.handler != nil {
		t.job.MaxAttempts = t.handler.maxAttempts
	}
	if t.job.MaxAttempts == 0 {
		t.job.MaxAttempts = j.maxAttempts
	}
	t.maxAttempts = t.job.MaxAttempts
	if t.job.Timeout == 0 && t.handler != nil {
		t.job.Timeout = t.handler.timeout
	}
	if t.job.Timeout == 0 {
		t.job.Timeout = j.timeout
	}
	return t
}

// suspects reports whether a job was lost so often that it has to run alone, and not
// so often that it does not run at all.
func (j *judge) suspects(d *driver.Delivery) bool {
	return d.Redeliveries >= j.suspectAt && d.Redeliveries <= j.maxRedeliveries
}

// start decides whether a task runs. It does if the verdict has no outcome.
func (j *judge) start(ctx context.Context, t *task) (Verdict, error) {
	return j.decide(j.facts(ctx, t))
}

// decide is the function decide for errors whose methods did not panic before, and may
// do so now.
func (j *judge) decide(f facts) (v Verdict, reason error) {
	defer func() {
		if r := recover(); r != nil {
			err := newPanicError("a method of an error that did not panic before", textOf(r))
			if f.err != nil {
				f.err = err
			} else {
				f.decoding = err
			}
			v, reason = decide(f)
		}
	}()
	return decide(f)
}

// facts gathers what is known about a task when it is received, and decodes its
// body if there is no other reason not to run it.
func (j *judge) facts(ctx context.Context, t *task) facts {
	d := t.delivery
	f := facts{
		stage:    received,
		failures: d.Failures, redeliveries: d.Redeliveries, bounces: d.Bounces, bouncedSince: d.BouncedSince,
		maxAttempts: t.job.MaxAttempts, maxRedeliveries: j.maxRedeliveries, bounceTimeout: j.bounceTimeout,
		now: time.Now(), maxDelay: j.maxDelay,
	}
	if f.redeliveries > f.maxRedeliveries {
		return f
	}
	if !d.ExpiresAt.IsZero() && !f.now.Before(d.ExpiresAt) {
		f.expired = true
		return f
	}
	codec := j.codecs[d.ContentType]
	switch {
	case t.handler == nil:
		f.unknown = fmt.Errorf("no handler for kind %q on this worker", d.Kind)
	case codec == nil:
		f.unknown = fmt.Errorf("no codec for content type %q on this worker (is it in WorkerConfig.Codecs?)", d.ContentType)
	default:
		f.decoding = t.handler.decodeArgs(ctx, codec, &t.job)
		if f.decoding != nil && ctx.Err() != nil { // which may be why it failed
			f.stage, f.err = interrupted, f.decoding
		}
	}
	if f.unknown != nil || f.decoding != nil {
		f.backoff = bounceDelay(f.now, d.BouncedSince)
	}
	return f
}

// end decides what becomes of a task whose handler returned err, or did not
// return.
func (j *judge) end(t *task, stage stage, err error) (Verdict, error) {
	f := t.history(stage, err)
	f.maxAttempts, f.maxDelay = t.maxAttempts, j.maxDelay
	if err != nil && stage != interrupted {
		policy := j.retry
		if t.handler.retry != nil {
			policy = t.handler.retry
		}
		f.backoff, f.err = backoffOf(policy, f.failures+1, err)
	}
	return j.decide(f)
}

// backoffOf asks a retry policy about a failure with err. If the policy panics, the
// default policy is asked, and the returned error says so beside err.
func backoffOf(policy RetryPolicy, failures int, err error) (delay time.Duration, reason error) {
	switch policy.(type) {
	case ExponentialBackoff, ConstantBackoff:
		return policy.Backoff(failures, err), err
	}
	// It must not end the goroutine of the slot, or of what watches it: the job has
	// ended, and would never be settled.
	done := make(chan struct{})
	go func() {
		defer close(done)
		orderly := false
		defer func() {
			if orderly {
				return
			}
			r := recover()
			if r == nil {
				r = "it called runtime.Goexit"
			}
			delay = DefaultRetryPolicy.Backoff(failures, nil)
			reason = fmt.Errorf("%w; %w", err, newPanicError(fmt.Sprintf("the retry policy, of type %T", policy), r))
		}()
		delay, reason = policy.Backoff(failures, err), err
		orderly = true
	}()
	<-done
	return delay, reason
}
