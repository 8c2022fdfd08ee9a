package batchtest_test

import (
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

func TestRequireDead(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	wantFailure(t, "batchtest: queue emails has no dead letter of kind email.welcome\n  the queue does not exist: nothing was enqueued on it",
		func(t testing.TB) { batchtest.RequireDead[Welcome](t, emails) })
	enqueue(t, emails, "alive", Welcome{UserID: 7})
	wantFailure(t, `
batchtest: queue emails has no dead letter of kind email.welcome
  it has none of any kind
  of the kind there is job alive of kind email.welcome, waiting, body "{\"user_id\":7}"`,
		func(t testing.TB) { batchtest.RequireDead[Welcome](t, emails) })

	dead := batch.Entry{State: batch.StateDead, Reason: batch.ReasonAttempts, LastError: "mailbox full", Failures: 25, Deliveries: 25, DeadAt: time.Now()}
	store(t, emails, "dead", `{"user_id":8}`, dead)
	// Without capabilities too.
	var plain batch.Driver = emails.Driver()
	letter := batchtest.RequireDead[Welcome](t, batch.NewQueue(plain, "emails"), batchtest.WithArgs(Welcome{UserID: 8}),
		batchtest.WithReason(batch.ReasonAttempts), batchtest.WithLastError("full"), batchtest.WithFailures(25))
	if letter.ID != "dead" || letter.Args.UserID != 8 || letter.State != batch.StateDead {
		t.Errorf("the dead letter is %+v", letter)
	}
	wantFailure(t, `
batchtest: queue emails has no dead letter of kind email.welcome with reason permanent, last error with "no such user"
  job dead, dead, differs:
    reason is max-attempts, want permanent
    last error is "mailbox full", want "no such user" in it
  of the kind there is job alive of kind email.welcome, waiting, body "{\"user_id\":7}"`, func(t testing.TB) {
		batchtest.RequireDead[Welcome](t, emails, batchtest.WithReason(batch.ReasonPermanent), batchtest.WithLastError("no such user"))
	})
	store(t, emails, "second", `{"user_id":9}`, dead)
	wantFailure(t, `
batchtest: queue emails has 2 dead letters of kind email.welcome, want one:
  job dead of kind email.welcome, dead, args {UserID:8 Lang:}, failures 25, reason max-attempts, last error "mailbox full"
  job second of kind email.welcome, dead, args {UserID:9 Lang:}, failures 25, reason max-attempts, last error "mailbox full"`,
		func(t testing.TB) { batchtest.RequireDead[Welcome](t, emails) })
}
