package jobs_test

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	_ "github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// lookable is what the service relies on, and a look into its queues.
type lookable interface {
	jobs.Broker
	batch.Inspector
	batch.Importer
}

// TestAssertionsOnRealBrokers looks into queues of brokers as a test looks into those of the memory driver.
func TestAssertionsOnRealBrokers(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"memory":                   func(*testing.T) string { return "memory://" },
		"redis":                    func(t *testing.T) string { return brokers.Redis(t, brokers.Redis8).URL() },
		"nats":                     func(t *testing.T) string { return brokers.NATS(t, brokers.NATS2).URL() },
		"jetstream in the process": func(t *testing.T) string { return "jetstream:" + filepath.ToSlash(t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			d, err := batch.Open[lookable](ctx, url(t))
			if err != nil {
				t.Fatal(err)
			}
			emails := batch.NewQueue(d, fmt.Sprintf("emails-%d", time.Now().UnixNano()))
			t.Cleanup(func() {
				ctx := context.Background()
				if err := emails.Delete(ctx); err != nil {
					t.Error(err)
				}
				if err := d.Close(ctx); err != nil {
					t.Error(err)
				}
			})
			batchtest.RequireEmpty(t, emails)
			assertOn(t, emails)
		})
	}
}

// assertOn asserts on an empty queue, and on what it has put there.
func assertOn(t *testing.T, emails *batch.Queue[lookable]) {
	ctx := t.Context()
	if _, err := emails.Enqueue(ctx, jobs.Welcome{UserID: 7}, batch.ID(emails, "first"), batch.Delay(emails, time.Hour),
		batch.Unique(emails, "welcome-7"), batch.Header(emails, "tenant", "acme"), batch.MaxAttempts(emails, 3)); err != nil {
		t.Fatal(err)
	}
	if _, err := emails.Enqueue(ctx, jobs.Welcome{UserID: 8}, batch.ID(emails, "second")); err != nil {
		t.Fatal(err)
	}
	first := []batchtest.Match{
		batchtest.WithArgs(jobs.Welcome{UserID: 7}), batchtest.WithDelay(time.Hour), batchtest.WithUnique("welcome-7"),
		batchtest.WithHeader("tenant", "acme"), batchtest.WithMaxAttempts(3),
	}
	if job := batchtest.RequireEnqueued[jobs.Welcome](t, emails, first...); job.ID != "first" || job.Args.UserID != 7 {
		t.Errorf("the job is %+v", job)
	}
	batchtest.RequireEnqueuedMany[jobs.Welcome](t, emails, 2)
	batchtest.RequireExactly(t, emails, batchtest.Expect[jobs.Welcome](batchtest.WithDelay(0), batchtest.WithUnique("")), batchtest.Expect[jobs.Welcome](first...))
	batchtest.RequireNone[jobs.Welcome](t, emails, batchtest.WithArgs(jobs.Welcome{UserID: 9}))

	why := failure(t, func(t testing.TB) {
		batchtest.RequireEnqueued[jobs.Welcome](t, emails, batchtest.WithArgs(jobs.Welcome{UserID: 9}), batchtest.WithDelay(0))
	})
	for _, want := range []string{"no job of kind email.welcome with args {UserID:9}, delay none\n  job second, waiting, differs:\n    args.UserID is 8, want 9\n", "want none"} {
		if !strings.Contains(why, want) {
			t.Errorf("the failure is\n%s\nwant in it\n%s", why, want)
		}
	}

	job := batchtest.RequireEnqueued[jobs.Welcome](t, emails, batchtest.WithID("second")).Entry
	job.ID, job.State, job.Reason, job.LastError, job.DeadAt = "dead", batch.StateDead, batch.ReasonPermanent, "no such user", time.Now()
	if _, err := batch.Import(ctx, emails, []batch.Entry{job}); err != nil {
		t.Fatal(err)
	}
	batchtest.RequireDead[jobs.Welcome](t, emails, batchtest.WithReason(batch.ReasonPermanent), batchtest.WithLastError("no such user"))
}

// failing is a testing.TB that notes why a test fails, and ends it.
type failing struct {
	testing.TB
	why string
}

func (f *failing) Fatalf(format string, args ...any) {
	f.why = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure is why a test fails.
func failure(t testing.TB, test func(t testing.TB)) string {
	f := &failing{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		test(f)
	}()
	<-ended
	return f.why
}
