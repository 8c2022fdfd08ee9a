package batchtest_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

// Invoice is the job of these examples.
type Invoice struct {
	Customer int
	Cents    int
}

// Kind names it.
func (Invoice) Kind() string { return "invoice" }

// send is the handler of these examples.
func send(ctx context.Context, job *batch.Job[Invoice]) error {
	switch {
	case job.Args.Cents == 0:
		return batch.Permanent(errors.New("nothing to pay"))
	case job.Headers["tenant"] == "closed":
		return batch.Snooze(time.Hour)
	case job.Attempt < 3:
		return batch.RetryAfter(time.Minute, errors.New("printer is busy"))
	}
	return nil
}

// A handler is a function, and NewJob makes what it is called with.
func ExampleNewJob() {
	t := &testing.T{} // that of your test

	err := send(context.Background(), batchtest.NewJob(t, Invoice{Customer: 7, Cents: 990}, batchtest.Attempt(3)))
	batchtest.RequireDone(t, err)

	err = send(context.Background(), batchtest.NewJob(t, Invoice{Customer: 7}))
	batchtest.RequirePermanent(t, err)
	fmt.Println(err)
	// Output:
	// nothing to pay
}

// Work calls the handler by a worker, which decides what becomes of the job.
func ExampleWork() {
	t := &testing.T{} // that of your test

	result := batchtest.Work(t, send, Invoice{Customer: 7, Cents: 990}, batchtest.Attempt(2))
	batchtest.RequireRetryAfter(t, result.Err, time.Minute)
	fmt.Println(result)

	result = batchtest.Work(t, send, Invoice{Customer: 7, Cents: 990}, batchtest.Header("tenant", "closed"))
	batchtest.RequireSnooze(t, result.Err, time.Hour)
	fmt.Println(result)

	result = batchtest.Work(t, send, Invoice{Customer: 7, Cents: 990}, batchtest.Attempt(2), batchtest.MaxAttempts(2))
	fmt.Println(result)
	// Output:
	// attempt 2 of 25: retry after 1m0s: printer is busy
	// attempt 1 of 25: retry after 1h0m0s: snoozed for 1h0m0s
	// attempt 2 of 2: dead (max-attempts): printer is busy
}

// order is the code under test: it enqueues an invoice.
func order(ctx context.Context, invoices *batch.Queue[*memory.Driver], customer int) error {
	_, err := invoices.Enqueue(ctx, Invoice{Customer: customer, Cents: 990},
		batch.Delay(invoices, 24*time.Hour), batch.Unique(invoices, fmt.Sprintf("invoice-%d", customer)), batch.ID(invoices, fmt.Sprintf("job-%d", customer)))
	return err
}

// RequireEnqueued finds the one job that is as the matches say.
func ExampleRequireEnqueued() {
	t := &testing.T{} // that of your test

	invoices := batch.NewQueue(memory.New(), "invoices")
	if err := order(context.Background(), invoices, 7); err != nil {
		t.Fatal(err)
	}
	job := batchtest.RequireEnqueued[Invoice](t, invoices,
		batchtest.WithArgs(Invoice{Customer: 7, Cents: 990}), batchtest.WithDelay(24*time.Hour), batchtest.WithUnique("invoice-7"))
	fmt.Println(job.ID, job.Args.Cents)
	// Output:
	// job-7 990
}

// printer is a testing.TB that prints why a test fails.
type printer struct{ testing.TB }

func (printer) Helper()                  {}
func (printer) Context() context.Context { return context.Background() }
func (printer) Fatalf(format string, args ...any) {
	fmt.Printf(format+"\n", args...)
	runtime.Goexit()
}

// A failure says what is there instead.
func ExampleRequireEnqueued_failure() {
	invoices := batch.NewQueue(memory.New(), "invoices")
	for customer := range 2 {
		if err := order(context.Background(), invoices, customer); err != nil {
			panic(err)
		}
	}
	failed := make(chan struct{})
	go func() {
		defer close(failed)
		var t testing.TB = printer{} // which prints the failure
		batchtest.RequireEnqueued[Invoice](t, invoices,
			batchtest.WithArgs(Invoice{Customer: 1, Cents: 500}), batchtest.WithUnique("invoice-1"), batchtest.WithPriority(batch.High))
	}()
	<-failed
	// Output:
	// batchtest: queue invoices has no job of kind invoice with args {Customer:1 Cents:500}, unique key "invoice-1", priority high
	//   job job-1, scheduled, differs:
	//     args.Cents is 990, want 500
	//     priority is normal, want high
	//   job job-0, scheduled, differs:
	//     args.Customer is 0, want 1
	//     args.Cents is 990, want 500
	//     unique key is "invoice-0", want "invoice-1"
	//     priority is normal, want high
}

// RequireExactly wants jobs of several kinds, and no others.
func ExampleRequireExactly() {
	t := &testing.T{} // that of your test

	ctx := context.Background()
	work := batch.NewQueue(memory.New(), "work")
	if err := order(ctx, work, 7); err != nil {
		t.Fatal(err)
	}
	if _, err := work.Enqueue(ctx, Goodbye{UserID: 7}); err != nil {
		t.Fatal(err)
	}
	batchtest.RequireExactly(t, work,
		batchtest.Expect[Goodbye](batchtest.WithArgs(Goodbye{UserID: 7})),
		batchtest.Expect[Invoice](batchtest.WithArgsFunc(func(i Invoice) bool { return i.Cents > 0 })))
	fmt.Println("these two and no others")
	// Output:
	// these two and no others
}
