package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/jobs"
)

// TestWelcomeIsSent runs one job through the worker.
func TestWelcomeIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, jobs.Emails)
		if _, err := emails.Enqueue(t.Context(), jobs.Welcome{UserID: 7}, batch.Delay(emails, time.Hour)); err != nil {
			t.Fatal(err)
		}
		var sent []int
		results := batchtest.Drain(t, d, newWorker(d, func(ctx context.Context, userID int) error {
			sent = append(sent, userID)
			return nil
		}))
		if len(results) != 1 || len(sent) != 1 || sent[0] != 7 {
			t.Errorf("after %v mails went to %v, want user 7", results, sent)
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
		results := batchtest.Drain(t, d, newWorker(d, func(context.Context, int) error { return errors.New("mailbox full") }))
		if len(results) != 10 {
			t.Errorf("the mail was tried %d times, want 10", len(results))
		}
		for _, result := range results {
			batchtest.RequireRetry(t, result.Err)
		}
		batchtest.RequireDead[jobs.Welcome](t, emails, batchtest.WithReason(batch.ReasonAttempts), batchtest.WithLastError("mailbox full"))
	})
}

func TestProbesTellWhatTheWorkerDoes(t *testing.T) {
	w, probes := newProgram(memory.New(), nil)
	get := func(path string) int {
		answer := httptest.NewRecorder()
		probes.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, path, nil))
		return answer.Code
	}
	if code := get("/readyz"); code != http.StatusServiceUnavailable {
		t.Errorf("a worker that has not started is ready: %d", code)
	}
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code := get(path); code != http.StatusOK {
			t.Errorf("%s of a worker that runs answers %d", path, code)
		}
	}
	if err := w.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code := get("/livez"); code != http.StatusServiceUnavailable {
		t.Errorf("a worker that has stopped answers %d", code)
	}
}
