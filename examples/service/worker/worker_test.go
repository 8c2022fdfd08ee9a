package worker

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/cron"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/examples/service/mail"
	"github.com/batch-go/batch/health"
)

// sender is a mail.Sender that is a function.
type sender func(m mail.Mail) error

func (s sender) Send(_ context.Context, m mail.Mail) error { return s(m) }

// newWorker makes the worker.
func newWorker(t *testing.T, d *memory.Driver, send sender) (*batch.Worker, *health.Check) {
	t.Helper()
	w, check, err := New(Config{Broker: d, Mails: send, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return w, check
}

// TestAnswersOfTheProvider calls the handler with each of them.
func TestAnswersOfTheProvider(t *testing.T) {
	send := func(err error) error {
		handle := welcome(sender(func(mail.Mail) error { return err }))
		return batchtest.Work(t, handle, jobs.Welcome{UserID: 7}).Err
	}
	batchtest.RequireDone(t, send(nil))
	batchtest.RequireRetry(t, send(errors.New("connection reset")))
	batchtest.RequireRetry(t, send(&mail.Refused{Status: http.StatusServiceUnavailable}))
	batchtest.RequireRetryAfter(t, send(&mail.Refused{Status: http.StatusTooManyRequests, RetryAfter: time.Minute}), time.Minute)
	batchtest.RequirePermanent(t, send(&mail.Refused{Status: http.StatusUnprocessableEntity}))
}

// TestWelcomeIsSent runs one job through the worker.
func TestWelcomeIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, jobs.Emails)
		if _, err := emails.Enqueue(t.Context(), jobs.Welcome{UserID: 7}, batch.Delay(emails, time.Hour), batch.ID(emails, "one")); err != nil {
			t.Fatal(err)
		}
		var sent []mail.Mail
		w, _ := newWorker(t, d, func(m mail.Mail) error {
			sent = append(sent, m)
			return nil
		})
		results := batchtest.Drain(t, d, w)
		if len(results) != 1 || len(sent) != 1 || sent[0] != (mail.Mail{Key: "one", To: "user-7", Template: "welcome"}) {
			t.Errorf("after %v these mails were sent: %+v", results, sent)
		}
	})
}

// TestWelcomeGivesUp fails ten times, which takes minutes of fake time and none of ours.
func TestWelcomeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, jobs.Emails)
		if _, err := emails.Enqueue(t.Context(), jobs.Welcome{UserID: 7}); err != nil {
			t.Fatal(err)
		}
		w, _ := newWorker(t, d, func(mail.Mail) error { return errors.New("mailbox full") })
		results := batchtest.Drain(t, d, w)
		if len(results) != 10 {
			t.Errorf("the mail was tried %d times, want 10", len(results))
		}
		for _, result := range results {
			batchtest.RequireRetry(t, result.Err)
		}
		batchtest.RequireDead[jobs.Welcome](t, emails, batchtest.WithReason(batch.ReasonAttempts), batchtest.WithLastError("mailbox full"))
	})
}

// TestDigestIsOfTheDayBefore makes the job as a scheduler does.
func TestDigestIsOfTheDayBefore(t *testing.T) {
	var sent mail.Mail
	handle := digest(sender(func(m mail.Mail) error { sent = m; return nil }))
	tick := cron.Tick{Queue: jobs.Reports, Schedule: "digest", Time: time.Date(2026, 3, 1, 6, 0, 0, 0, time.UTC)}
	batchtest.RequireDone(t, batchtest.Work(t, handle, jobs.Digest{Team: "sales"}, batchtest.ID(tick.Key()),
		batchtest.Header("cron-schedule", tick.Schedule), batchtest.Header("cron-tick", tick.Time.Format(time.RFC3339))).Err)
	if want := (mail.Mail{Key: tick.Key(), To: "team-sales", Template: "digest of 2026-02-28"}); sent != want {
		t.Errorf("the mail is %+v, want %+v", sent, want)
	}
	batchtest.RequirePermanent(t, batchtest.Work(t, handle, jobs.Digest{Team: "sales"}).Err)
}

func TestProbesTellWhatTheWorkerDoes(t *testing.T) {
	w, check := newWorker(t, memory.New(), nil)
	get := func(h http.Handler) int {
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
		return answer.Code
	}
	if code := get(check.Ready(w)); code != http.StatusServiceUnavailable {
		t.Errorf("a worker that has not started is ready: %d", code)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, probe := range []http.Handler{check.Live(w), check.Ready(w)} {
		if code := get(probe); code != http.StatusOK {
			t.Errorf("a probe of a worker that runs answers %d", code)
		}
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := get(check.Live(w)); code != http.StatusServiceUnavailable {
		t.Errorf("a worker that has stopped answers %d", code)
	}
}
