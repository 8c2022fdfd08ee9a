package api_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/api"
	"github.com/batch-go/batch/examples/service/jobs"
)

// post sends a request without a body.
func post(d jobs.Broker, path string) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	h := api.Handler(api.Config{Broker: d, Log: slog.New(slog.DiscardHandler)})
	h.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, nil))
	return answer
}

// TestWelcomeIsEnqueued looks at what a request left in the queue.
func TestWelcomeIsEnqueued(t *testing.T) {
	d := memory.New()
	if answer := post(d, "/users/7/welcome"); answer.Code != http.StatusAccepted {
		t.Fatalf("the answer is %d %s", answer.Code, answer.Body)
	}
	if answer := post(d, "/users/7/welcome"); !strings.Contains(answer.Body.String(), `"duplicate":true`) {
		t.Errorf("the second answer is %s", answer.Body)
	}
	if answer := post(d, "/users/x/welcome"); answer.Code != http.StatusBadRequest {
		t.Errorf("the answer to a bad ID is %d", answer.Code)
	}
	emails := batch.NewQueue(d, jobs.Emails)
	batchtest.RequireExactly(t, emails,
		batchtest.Expect[jobs.Welcome](batchtest.WithArgs(jobs.Welcome{UserID: 7}), batchtest.WithUnique("welcome-7")))
}

// failing is a broker on which no job can be stored.
type failing struct {
	*memory.Driver
	err error
}

func (f failing) Enqueue(_ context.Context, queue string, m []*driver.Message) []driver.Result {
	results := make([]driver.Result, len(m))
	for i := range results {
		results[i].Err = f.err
	}
	return results
}

// TestClientsAreToldWhatToDo has errors of the broker. None of them reaches the client, but what to do about it does.
func TestClientsAreToldWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		kind error
		fate driver.Fate
		want string
	}{
		"full":          {driver.ErrFull, driver.FateNotStored, "500 the mail could not be enqueued"},
		"it was lost":   {driver.ErrUnavailable, driver.FateUnknown, "503 try again"},
		"it is away":    {driver.ErrUnavailable, driver.FateNotStored, "503 try again later"},
		"wrong rights":  {driver.ErrUnauthorized, driver.FateNotStored, "500 the mail could not be enqueued"},
		"no such queue": {driver.ErrNotFound, driver.FateNotStored, "500 the mail could not be enqueued"},
	} {
		synctest.Test(t, func(t *testing.T) { // an enqueue is tried again for five seconds
			err := &driver.Error{Driver: "failing", Op: "enqueue", Queue: jobs.Emails, Kind: test.kind, Fate: test.fate, Err: errors.New("10.0.0.7")}
			answer := post(failing{memory.New(), err}, "/users/7/welcome")
			if got := fmt.Sprint(answer.Code, " ", strings.TrimSpace(answer.Body.String())); got != test.want {
				t.Errorf("%s: the answer is %s, want %s", name, got, test.want)
			}
		})
	}
}
