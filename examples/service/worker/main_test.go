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
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/jobs"
)

// TestWelcomeIsSent runs one job through the worker.
func TestWelcomeIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, jobs.Emails)
		if _, err := emails.Enqueue(t.Context(), jobs.Welcome{UserID: 7}); err != nil {
			t.Fatal(err)
		}
		var sent []int
		w := newWorker(d, func(ctx context.Context, userID int) error {
			sent = append(sent, userID)
			return nil
		})
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // until nothing moves any more
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(sent) != 1 || sent[0] != 7 {
			t.Errorf("mails went to %v, want user 7", sent)
		}
	})
}

// TestWelcomeGivesUp fails ten times, which takes hours of fake time and none of ours.
func TestWelcomeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, jobs.Emails)
		if _, err := emails.Enqueue(t.Context(), jobs.Welcome{UserID: 7}); err != nil {
			t.Fatal(err)
		}
		w := newWorker(d, func(context.Context, int) error { return errors.New("mailbox full") })
		if err := w.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(24 * time.Hour)
		if err := w.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		dead, _, err := emails.DeadLetters().List(t.Context(), "", 10)
		if err != nil || len(dead) != 1 || dead[0].Failures != 10 || dead[0].LastError != "mailbox full" {
			t.Errorf("dead letters: %+v, %v", dead, err)
		}
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
