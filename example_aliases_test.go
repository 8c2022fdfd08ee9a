package batch_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// greet is the handler of docs/testing.md.
func greet(_ context.Context, job *batch.Job[Welcome]) error {
	if job.Args.UserID == 0 {
		return batch.Permanent(fmt.Errorf("job %s has no user", job.ID))
	}
	return nil
}

// TestHandlerIsAFunction calls a handler without a worker.
func TestHandlerIsAFunction(t *testing.T) {
	job := &batch.Job[Welcome]{JobInfo: &batch.JobInfo{ID: "job", Attempt: 1}, Args: Welcome{UserID: 7}}
	err := greet(t.Context(), job)
	if err != nil {
		t.Error(err)
	}
	job.Args.UserID = 0
	if err := greet(t.Context(), job); err == nil {
		t.Error("a job without a user was greeted")
	}
}

// Greeting is what Welcome was renamed to.
type Greeting struct{ UserID int }

// Kind is the new name.
func (Greeting) Kind() string { return "email.greeting" }

// A handler with an alias runs jobs that were stored under the old name of its kind.
func ExampleHandleAliases() {
	ctx := context.Background()
	d := memory.New()
	emails := batch.NewQueue(d, "emails")
	for _, args := range []batch.Args{Welcome{UserID: 7}, Greeting{UserID: 8}} {
		if _, err := emails.Enqueue(ctx, args); err != nil {
			panic(err)
		}
	}
	w := batch.NewWorker(d, batch.WorkerConfig{Queues: []batch.WorkerQueue{{Name: "emails", Concurrency: 1}}})
	ran := make(chan string)
	batch.Handle(w, func(ctx context.Context, job *batch.Job[Greeting]) error {
		ran <- job.Kind
		return nil
	}, batch.HandleAliases("email.welcome"))
	if err := w.Start(ctx); err != nil {
		panic(err)
	}
	fmt.Println(<-ran)
	fmt.Println(<-ran)
	if err := w.Stop(ctx); err != nil {
		panic(err)
	}
	// Output:
	// email.welcome
	// email.greeting
}
