package batchtest_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/idempotency"
)

type nameKey struct{}

func TestWorkIsAWorker(t *testing.T) {
	var order []string
	note := func(name string) batch.Middleware {
		return func(next batch.Handler) batch.Handler {
			return func(ctx context.Context, job *batch.JobInfo) error {
				order = append(order, name)
				return next(ctx, job)
			}
		}
	}
	result := batchtest.Work(t, func(ctx context.Context, job *batch.Job[Welcome]) error {
		order = append(order, ctx.Value(nameKey{}).(string))
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > time.Minute || time.Until(deadline) < time.Second {
			t.Errorf("the deadline is %s, %t", deadline, ok)
		}
		if job.Args.UserID != 7 || job.Attempt != 3 || job.Deliveries != 3 || job.MaxAttempts != 4 || job.LastError != "mailbox full" ||
			job.Headers["tenant"] != "acme" || job.Queue != "emails" || job.Priority != batch.Low || job.DecodedArgs() != batch.Args(job.Args) {
			t.Errorf("the job is %+v", job.JobInfo)
		}
		return errors.New("mailbox still full")
	}, Welcome{UserID: 7}, batchtest.Attempt(3), batchtest.LastError("mailbox full"), batchtest.Header("tenant", "acme"), batchtest.Queue("emails"),
		batchtest.Priority(batch.Low), batchtest.Context(context.WithValue(t.Context(), nameKey{}, "handler")),
		batchtest.Middleware(note("outer"), note("inner")), batchtest.Middleware(note("innermost")),
		batchtest.Handling(batch.HandleTimeout(time.Minute), batch.HandleMaxAttempts(4), batch.HandleRetry(batch.ConstantBackoff(time.Hour))))
	if got := strings.Join(order, " "); got != "outer inner innermost handler" {
		t.Errorf("the order is %s", got)
	}
	batchtest.RequireRetry(t, result.Err)
	if v := result.Verdict; !result.Started || v.Outcome != batch.OutcomeRetry || v.Delay != time.Hour || v.Failures != 3 || result.Job.ID == "" {
		t.Errorf("the result is %+v", result)
	}
	if got, want := result.String(), "attempt 3 of 4: retry after 1h0m0s: mailbox still full"; got != want {
		t.Errorf("the result is %q, want %q", got, want)
	}
}

func TestWorkOnTheLastAttempt(t *testing.T) {
	fails := func(context.Context, *batch.Job[Welcome]) error { return errors.New("mailbox full") }
	result := batchtest.Work(t, fails, Welcome{}, batchtest.Attempt(25))
	if v := result.Verdict; v.Outcome != batch.OutcomeDead || v.Reason != batch.ReasonAttempts || v.Failures != 25 {
		t.Errorf("the result is %s", result)
	}
	if got, want := result.String(), "attempt 25 of 25: dead (max-attempts): mailbox full"; got != want {
		t.Errorf("the result is %q, want %q", got, want)
	}
}

// A job that comes back at once is run once nevertheless.
func TestWorkRunsOnce(t *testing.T) {
	runs := 0
	result := batchtest.Work(t, func(context.Context, *batch.Job[Welcome]) error {
		runs++
		return batch.Snooze(0)
	}, Welcome{})
	batchtest.RequireSnooze(t, result.Err, 0)
	if runs != 1 || result.Verdict.Outcome != batch.OutcomeRetry {
		t.Errorf("%d runs, and %s", runs, result)
	}
}

func TestWorkOnAPanic(t *testing.T) {
	result := batchtest.Work(t, func(context.Context, *batch.Job[Welcome]) error { panic("no template") }, Welcome{})
	panicked := batchtest.RequirePanic(t, result.Err)
	if panicked.Value != "no template" || !strings.HasPrefix(panicked.Place, "batchtest/work_test.go:") {
		t.Errorf("the panic is %v at %s", panicked.Value, panicked.Place)
	}
}

func TestWorkToTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		result := batchtest.Work(t, func(ctx context.Context, _ *batch.Job[Welcome]) error {
			<-ctx.Done()
			if cause := context.Cause(ctx); cause != batch.ErrTimeout {
				t.Errorf("the cause is %v", cause)
			}
			return ctx.Err()
		}, Welcome{}, batchtest.Timeout(time.Minute))
		if !errors.Is(result.Err, batch.ErrTimeout) || result.Duration != time.Minute {
			t.Errorf("after %s: %s", result.Duration, result)
		}
	})
}

func TestWorkOnWhatIsNotStarted(t *testing.T) {
	fail := func(context.Context, *batch.Job[Welcome]) error { t.Error("it ran"); return nil }
	result := batchtest.Work(t, fail, Welcome{}, batchtest.ExpiresAt(time.Now().Add(-time.Second)))
	if result.Started || result.Verdict.Reason != batch.ReasonExpired || result.Err == nil {
		t.Errorf("the result of an expired job is %+v", result)
	}
	result = batchtest.Work(t, fail, Welcome{}, batchtest.Kind("email.hello"))
	if result.Started || result.Verdict.Outcome != batch.OutcomeRetry || result.Verdict.Bounces != 1 {
		t.Errorf("the result of a job of an unknown kind is %+v", result)
	}
	result = batchtest.Work(t, greet, Welcome{UserID: 7}, batchtest.Kind("email.hello"), batchtest.Handling(batch.HandleAliases("email.hello")))
	if result.Job.Kind != "email.hello" || result.Err != nil {
		t.Errorf("the result of an older kind is %+v", result)
	}
}

// The key is the job's ID unless ByKey says otherwise.
func TestWorkWithIdempotency(t *testing.T) {
	store := idempotency.NewMemory(0)
	runs := 0
	handler := func(context.Context, *batch.Job[Welcome]) error { runs++; return nil }
	for range 2 {
		result := batchtest.Work(t, handler, Welcome{}, batchtest.ID("one"), batchtest.Middleware(idempotency.Middleware(store)))
		batchtest.RequireDone(t, result.Err)
	}
	if runs != 1 {
		t.Errorf("the handler ran %d times, want once", runs)
	}
}

// A codec that knows the job can decode what it encoded, and its headers are the job's.
func TestWorkWithACodec(t *testing.T) {
	result := batchtest.Work(t, func(_ context.Context, job *batch.Job[Welcome]) error {
		if job.Args.UserID != 7 || job.Headers["key"] != "emails" || job.ContentType != "application/x-sealed" {
			t.Errorf("the job is %+v with %+v", job.JobInfo, job.Args)
		}
		return nil
	}, Welcome{UserID: 7}, batchtest.Queue("emails"), batchtest.Codec(sealed{}))
	batchtest.RequireDone(t, result.Err)
}

// sealed is a codec whose bodies belong to their jobs.
type sealed struct{ batch.JSON }

func (sealed) ContentType() string { return "application/x-sealed" }

func (s sealed) EncodeJob(_ context.Context, job *batch.CodecJob, args any) ([]byte, error) {
	job.Headers["key"] = job.Queue
	body, err := s.Encode(args)
	return append([]byte(job.ID+" "), body...), err
}

func (s sealed) DecodeJob(_ context.Context, job *batch.CodecJob, body []byte, args any) error {
	rest, ok := strings.CutPrefix(string(body), job.ID+" ")
	if !ok || job.Headers["key"] != job.Queue {
		return errors.New("it is sealed for another job")
	}
	return s.Decode([]byte(rest), args)
}

// A handler may end the test by itself.
func TestWorkEndsWithItsHandler(t *testing.T) {
	f := try(t, func(t testing.TB) {
		batchtest.Work(t, func(context.Context, *batch.Job[Welcome]) error { t.Fatalf("in the handler"); return nil }, Welcome{})
		t.Errorf("the test goes on")
	})
	if len(f.messages) != 1 || f.messages[0] != "in the handler" {
		t.Errorf("the test says %q", f.messages)
	}
	f = try(t, func(t testing.TB) {
		batchtest.Work(t, func(context.Context, *batch.Job[Welcome]) error { t.SkipNow(); return nil }, Welcome{})
		t.Errorf("the test goes on")
	})
	if !f.skipped || f.failed {
		t.Errorf("the test says %q", f.messages)
	}
}

func TestWorkThatCannotBe(t *testing.T) {
	wantFailure(t, "batchtest: the handler is nil", func(t testing.TB) { batchtest.Work(t, nil, Welcome{}) })
	wantFailure(t, "batchtest: option 1 is nil", func(t testing.TB) { batchtest.Work(t, greet, Welcome{}, nil) })
	wantFailure(t, "batchtest: Context is nil: must be a context", func(t testing.TB) {
		var none context.Context
		batchtest.Work(t, greet, Welcome{}, batchtest.Context(none))
	})
	wantFailure(t, "batchtest: the worker cannot start: batch: invalid Timeout 0s: must be 1ms to 30 days", func(t testing.TB) {
		batchtest.Work(t, greet, Welcome{}, batchtest.Handling(batch.HandleTimeout(0)))
	})
	wantFailure(t, "batchtest: the worker cannot start: batch: invalid middleware 1 nil: must be a function", func(t testing.TB) {
		batchtest.Work(t, greet, Welcome{}, batchtest.Middleware(nil))
	})
}
