package batchtest_test

import (
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

func TestRequireExactly(t *testing.T) { inBubble(t, requireExactly) }

func requireExactly(t *testing.T, emails *batch.Queue[*memory.Driver]) {
	batchtest.RequireExactly(t, emails)
	enqueue(t, emails, "1", Welcome{UserID: 7})
	enqueue(t, emails, "2", Welcome{UserID: 8}, batch.Delay(emails, time.Hour))
	enqueue(t, emails, "3", Goodbye{UserID: 9}, batch.Priority(emails, batch.High))
	any, seven := batchtest.Expect[Welcome](), batchtest.Expect[Welcome](batchtest.WithArgs(Welcome{UserID: 7}))
	bye := batchtest.Expect[Goodbye](batchtest.WithPriority(batch.High))
	// Whichever comes first, the first of these must not take what only the second fits.
	batchtest.RequireExactly(t, emails, any, seven, bye)
	batchtest.RequireExactly(t, emails, bye, seven, any)
	wantFailure(t, `
batchtest: 3 jobs are in queue emails, not exactly the 3 expected:
  missing: a job of kind email.welcome with args {UserID:7 Lang:}
  too much: job 2 of kind email.welcome, scheduled, args {UserID:8 Lang:}, delay 1h0m0s`, func(t testing.TB) {
		batchtest.RequireExactly(t, emails, seven, seven, bye)
	})
	wantFailure(t, `
batchtest: 3 jobs are in queue emails, not exactly the 1 expected:
  too much: job 1 of kind email.welcome, waiting, body "{\"user_id\":7}"
  too much: job 2 of kind email.welcome, scheduled, body "{\"user_id\":8}", delay 1h0m0s`, func(t testing.TB) {
		batchtest.RequireExactly(t, emails, bye)
	})
	wantFailure(t, `
batchtest: 3 jobs are in queue emails, want none:
  job 3 of kind email.goodbye, waiting, body "{\"UserID\":9}", priority high
  job 1 of kind email.welcome, waiting, body "{\"user_id\":7}"
  job 2 of kind email.welcome, scheduled, body "{\"user_id\":8}", delay 1h0m0s`, func(t testing.TB) {
		batchtest.RequireEmpty(t, emails)
	})
	wantFailure(t, "batchtest: expected job 1 is the zero Expected: must be made by Expect", func(t testing.TB) {
		batchtest.RequireExactly(t, emails, batchtest.Expected{})
	})
	wantFailure(t, "batchtest: expected job 2: batch.Args is an interface: must be the type of the args of one kind", func(t testing.TB) {
		batchtest.RequireExactly(t, emails, any, batchtest.Expect[batch.Args]())
	})
}
