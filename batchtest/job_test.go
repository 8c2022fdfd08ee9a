package batchtest_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/idempotency"
)

// greet is a handler.
func greet(_ context.Context, job *batch.Job[Welcome]) error {
	if job.Args.UserID == 0 {
		return batch.Permanent(errors.New("no such user"))
	}
	return nil
}

func TestNewJobIsLikeAWorkersJob(t *testing.T) {
	job := batchtest.NewJob(t, Welcome{UserID: 7})
	batchtest.RequireDone(t, greet(t.Context(), job))
	if job.ID == "" || job.Kind != "email.welcome" || job.Queue != "batchtest" || job.Attempt != 1 || job.MaxAttempts != 25 ||
		job.Deliveries != 1 || job.Timeout != 30*time.Minute || time.Since(job.EnqueuedAt) > time.Minute || !job.ExpiresAt.IsZero() ||
		job.ContentType != "application/json" || string(job.Body) != `{"user_id":7}` || job.Headers != nil {
		t.Errorf("the job is %+v", job.JobInfo)
	}
	if args, ok := job.DecodedArgs().(Welcome); !ok || args != job.Args {
		t.Errorf("the decoded args are %+v", job.DecodedArgs())
	}
	if other := batchtest.NewJob(t, Welcome{UserID: 7}); other.ID == job.ID {
		t.Errorf("two jobs have the ID %s", job.ID)
	}
}

func TestNewJobHasItsOptions(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	job := batchtest.NewJob(t, Welcome{}, batchtest.ID("first"), batchtest.Queue("emails"), batchtest.Kind("email.hello"),
		batchtest.Attempt(3), batchtest.MaxAttempts(5), batchtest.LastError("mailbox full"), batchtest.Header("tenant", "acme"),
		batchtest.Header("trace", "1"), batchtest.Priority(batch.High), batchtest.Group("acme"), batchtest.Timeout(time.Second),
		batchtest.EnqueuedAt(at), batchtest.ExpiresAt(at.Add(time.Hour)))
	if job.ID != "first" || job.Queue != "emails" || job.Kind != "email.hello" || job.Attempt != 3 || job.MaxAttempts != 5 || job.Deliveries != 3 ||
		job.LastError != "mailbox full" || job.Headers["tenant"] != "acme" || job.Headers["trace"] != "1" || job.Priority != batch.High ||
		job.Group != "acme" || job.Timeout != time.Second || !job.EnqueuedAt.Equal(at) || !job.ExpiresAt.Equal(at.Add(time.Hour)) {
		t.Errorf("the job is %+v", job.JobInfo)
	}
	if job := batchtest.NewJob(t, Welcome{}, batchtest.Attempt(2), batchtest.Deliveries(9)); job.Attempt != 2 || job.Deliveries != 9 {
		t.Errorf("attempt %d, delivery %d, want 2 and 9", job.Attempt, job.Deliveries)
	}
}

// Args may be pointers, as those that protobuf generates are.
func TestNewJobWithPointers(t *testing.T) {
	job := batchtest.NewJob(t, &pointed{N: 1})
	if args, ok := job.DecodedArgs().(*pointed); !ok || args.N != 1 || job.Kind != "pointed" {
		t.Errorf("the job is of kind %s with %+v", job.Kind, job.DecodedArgs())
	}
}

type pointed struct{ N int }

func (*pointed) Kind() string { return "pointed" }

// Middleware and idempotency keys work on a job that is made by hand.
func TestIdempotencyOfANewJob(t *testing.T) {
	byUser := idempotency.ByKey(func(job *batch.JobInfo) (string, error) {
		return job.Headers["tenant"] + "/" + job.DecodedArgs().(Welcome).Lang, nil
	})
	runs := 0
	handler := idempotency.Middleware(idempotency.NewMemory(0), byUser)(func(ctx context.Context, _ *batch.JobInfo) error {
		if runs++; idempotency.Token(ctx) == 0 {
			t.Error("the handler has no claim")
		}
		return nil
	})
	for range 2 {
		job := batchtest.NewJob(t, Welcome{UserID: 7, Lang: "de"}, batchtest.Header("tenant", "acme"))
		batchtest.RequireDone(t, handler(t.Context(), job.JobInfo))
	}
	if runs != 1 {
		t.Errorf("the handler ran %d times, want once", runs)
	}
}

func TestJobsThatCannotBe(t *testing.T) {
	for want, option := range map[string]batchtest.JobOption{
		"batchtest: Attempt is 0: must be 1 to 1000":                                 batchtest.Attempt(0),
		"batchtest: MaxAttempts is 1001: must be 1 to 1000":                          batchtest.MaxAttempts(1001),
		"batchtest: Deliveries is -1: must be 1 to 1000":                             batchtest.Deliveries(-1),
		"batchtest: Timeout is 0s: must be 1ms to 720h":                              batchtest.Timeout(0),
		"batchtest: Codec is nil: must be a codec":                                   batchtest.Codec(nil),
		"batchtest: the zero JobOption: must be made by one of the option functions": {},
	} {
		wantFailure(t, want, func(t testing.TB) { batchtest.NewJob(t, Welcome{}, option) })
	}
	wantFailure(t, `batchtest: no worker can get such a job: batch: 1 of 1 jobs were not confirmed (1 refused), the first: `+
		`entry 1 of 1, job "a b": batch: invalid ID "a b": must be 1 to 128 bytes of printable ASCII without spaces`,
		func(t testing.TB) { batchtest.NewJob(t, Welcome{}, batchtest.ID("a b")) })
	wantFailure(t, `batchtest: no worker can get such a job: batch: invalid queue name "a b": must be 1 to 64 bytes of [A-Za-z0-9_-]`,
		func(t testing.TB) { batchtest.NewJob(t, Welcome{}, batchtest.Queue("a b")) })
	wantFailure(t, "batchtest: the kind of batch.Raw is empty: must be the type of the args of one kind",
		func(t testing.TB) { batchtest.NewJob(t, batch.Raw{}) })
	wantFailure(t, "batchtest: the args are a nil pointer: must be a value",
		func(t testing.TB) { batchtest.NewJob(t, (*pointed)(nil)) })
	wantFailure(t, "batchtest: batch.Args is an interface: must be the type of the args of one kind",
		func(t testing.TB) { batchtest.NewJob(t, batch.Args(Welcome{})) })
	wantFailure(t, "batchtest: the args of kind unencodable cannot be encoded by batch.JSON: json: unsupported type: chan int",
		func(t testing.TB) { batchtest.NewJob(t, unencodable{}) })
}

// unencodable cannot be stored.
type unencodable struct{ C chan int }

func (unencodable) Kind() string { return "unencodable" }
