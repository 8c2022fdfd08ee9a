package batch_test

import (
	"context"
	"fmt"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

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
