package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/jobs"
)

// TestWelcomeIsEnqueued looks at what a request left in the queue.
func TestWelcomeIsEnqueued(t *testing.T) {
	d := memory.New()
	post := func(path string) *httptest.ResponseRecorder {
		answer := httptest.NewRecorder()
		handler(d).ServeHTTP(answer, httptest.NewRequest(http.MethodPost, path, nil))
		return answer
	}
	if answer := post("/users/7/welcome"); answer.Code != http.StatusAccepted {
		t.Fatalf("the answer is %d %s", answer.Code, answer.Body)
	}
	if answer := post("/users/7/welcome"); !strings.Contains(answer.Body.String(), `"duplicate":true`) {
		t.Errorf("the second answer is %s", answer.Body)
	}
	if answer := post("/users/x/welcome"); answer.Code != http.StatusBadRequest {
		t.Errorf("the answer to a bad ID is %d", answer.Code)
	}
	scale := httptest.NewRecorder()
	handler(d).ServeHTTP(scale, httptest.NewRequest(http.MethodGet, "/scale", nil))
	if !strings.Contains(scale.Body.String(), `"emails":{"backlog":1,"demand":1,`) {
		t.Errorf("the autoscaler is told %s", scale.Body)
	}
	emails := batch.NewQueue(d, jobs.Emails)
	batchtest.RequireExactly(t, emails,
		batchtest.Expect[jobs.Welcome](batchtest.WithArgs(jobs.Welcome{UserID: 7}), batchtest.WithUnique("welcome-7")))
}

// TestAPIStopsInGoodOrder starts the program's main part and ends its context.
func TestAPIStopsInGoodOrder(t *testing.T) {
	t.Setenv("BATCH_URL", "memory://api")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, listener) }()
	answer, err := http.Post("http://"+listener.Addr().String()+"/users/7/welcome", "", nil) // waits until it is served
	if err != nil {
		t.Fatal(err)
	}
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusAccepted {
		t.Errorf("the answer is %s", answer.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
