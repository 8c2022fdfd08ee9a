package conformance_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/batch-go/batch/conformance"
)

// sentence is a promise of package driver, and the cases that find a driver which breaks it.
type sentence struct {
	// text is how the sentence begins, or a part of it, as the source has it.
	text  string
	cases string
}

// sentences are the promises of each method and type.
var sentences = []struct {
	of  string
	all []sentence
}{
	{"every method", []sentence{
		{"any method may be called concurrently with any other", "exact-cover receive-concurrent declare-concurrent enqueue-concurrent stop-again redrive-concurrent"},
		{"a call returns within a tenth of a second of ctx's end", "context-receive freeze-deadline"},
		{"On a ctx that ended before the call, nothing is sent", "context-ended context-enqueue atomic-context"},
		{"belong to the caller again when the call returns", "fields delay-mixed"},
		{"an [*Error] whose Fate says what became of the operation", "missing-queue closed-driver context-ended atomic-duplicate"},
		{"are errors and have no effect", "settle-partly-refused bounds-page"},
		{"A queue that does not exist: an error that wraps [ErrNotFound]", "missing-queue deleted-queue"},
		{"After Close: every method returns an error that wraps [ErrClosed]", "closed-driver closed-consumer"},
		{"A call with nothing to do (no messages, no settlements) returns at once", "no-op abandon-nothing"},
	}},
	{"Driver.Info", []sentence{
		{"It does not block and answers the same after Close", "info"},
		{"Every field must be set", "limits"},
	}},
	{"Driver.Declare", []sentence{
		{"so that a job enqueued before any worker ever ran is kept", "enqueue-before-worker"},
		{"Declaring a queue that exists is a no-op", "declare-again pause-survives"},
	}},
	{"Driver.DeleteQueue", []sentence{
		{"removes the queue with all that it holds", "delete-queue redeclare-empty group-delete-queue dedup-delete-queue"},
		{"see their deliveries lost", "delete-running"},
		{"A queue that does not exist is a no-op", "delete-missing"},
	}},
	{"Driver.Enqueue", []sentence{
		{"It returns one result for each message, in their order", "enqueue-partly-duplicate enqueue-batch"},
		{"the error of one says nothing of the others", "enqueue-partly-duplicate dedup-many"},
		{"A result without error is the broker's promise to keep the job", "exact-cover restart-keeps close-concurrent"},
		{"NotStored only if that is certain", "context-enqueue"},
		{"It takes at most Limits.EnqueueBatch messages and Limits.EnqueueBytes", "enqueue-batch enqueue-bytes bounds-call"},
	}},
	{"Driver.Consume", []sentence{
		{"It does not wait for jobs", "wakes-idle"},
		{"On a queue that does not exist it fails, or the consumer's Receive does", "missing-queue"},
	}},
	{"Driver.Depth", []sentence{
		{"Depth counts the jobs of a queue by state", "depth depth-steps depth-loss depth-group depth-due"},
		{"Age is how long the oldest of the Waiting jobs has been waiting", "depth-age depth-redrive clock-age"},
	}},
	{"Driver.DeadLetters", []sentence{
		{"DeadLetters lists dead letters, oldest first, without consuming them", "dead-paging dead-order clock-dead"},
		{"An empty next means that there are no more", "dead-paging dead-many"},
		{"no other is missed or seen twice", "dead-paging-removed dead-added"},
	}},
	{"Driver.Redrive and Discard", []sentence{
		{"with failures, bounces and deliveries counted from zero and all else as it was enqueued", "redrive-clean keeps-on-redrive bounce-redrive priority-after-redrive group-redrive"},
		{"It returns how many it moved", "redrive-one redrive-all dead-many same-id-dead"},
		{"IDs without a dead letter are not an error", "redrive-none no-op"},
		{"removes the selected dead letters for good and returns how many", "discard-one purge alike-dead"},
		{"The zero value selects none", "no-op"},
	}},
	{"Driver.Close", []sentence{
		{"Close ends the connection, and the consumers opened on it", "close-unblocks close-alone close-after-work"},
		{"A connection that breaks before or meanwhile has ended, and is no error", "connection-closing"},
		{"A second Close is a no-op", "closed-driver close-after-work"},
	}},
	{"Consumer.Lease", []sentence{
		{"Lease is how long a delivery is held without [Consumer.Extend]", "lease-length lease-expiry bounds-lease"},
	}},
	{"Consumer.Receive", []sentence{
		{"returns at most max of them", "receive-batch group-batch"},
		{"that is not from 1 to Limits.ReceiveBatch is an error that wraps [ErrConfig]", "receive-bounds"},
		{"without waiting for more than there are", "receive-batch wakes-consumers"},
		{"If it returns no job, it returns an error", "context-receive wakes-idle"},
		{"jobs of a higher level come first", "priority-backlog priority-late priority-batch"},
		{"comes before the newer ones of its level where the broker allows that", "comeback-release comeback-loss"},
		{"Up to Limits.Receivers calls run at the same time", "receive-concurrent wakes-receivers"},
		{"a job that arrives for a call that has returned is handed to a later one", "receive-abandoned late-receive"},
		{"A request or a wake-up that is lost on the way costs seconds", "wakes-consumers wakes-idle wakes-release wakes-retry-due wakes-redrive wakes-resume wakes-lease"},
		{"After [ErrNotFound], the queue having been deleted, it goes on when the queue is declared again", "deleted-queue worker-declares"},
		{"is moved to the dead letters by the driver with reason [ReasonUnreadable]", "foreign-entry"},
	}},
	{"Consumer.Settle", []sentence{
		{"It returns one error for each settlement, in their order", "settle-partly-lost settle-partly-refused"},
		{"a crash in between may double a job but not lose it", "restart-keeps"},
		{"A delivery that was settled before or whose lease was lost is an error that wraps [ErrLeaseLost]", "settle-twice lost-settle settle-partly-lost group-lost-settle"},
		{"if the first try was carried out, the second says [ErrLeaseLost]", "unknown-settle"},
		{"as when ctx ends in between, the job is there twice", "midway-settle"},
		{"Settlements are independent", "settle-partly-refused settle-partly-lost settle-each refused-settle slow-settle"},
		{"The core tries again with less", "too-large-settle dead-stripped"},
		{"It takes at most Limits.SettleBatch settlements", "settle-batch"},
	}},
	{"Consumer.Extend", []sentence{
		{"Extend renews the leases of deliveries, running or only prefetched", "lease-extend lease-buffered lease-crowd"},
		{"a lease that is gone is an error that wraps [ErrLeaseLost]", "lost-extend extend-partly-lost lost-extend-batch"},
		{"It takes at most Limits.ExtendBatch deliveries", "extend-batch"},
	}},
	{"Consumer.Abandon", []sentence{
		{"Abandon gives up deliveries that cannot be settled", "abandon abandon-room settle-given-up"},
		{"Deliveries that are not held are left alone", "abandon-nothing"},
	}},
	{"Consumer.Stop", []sentence{
		{"Receive calls under way and later ones return an error that wraps [ErrClosed]", "stop-receive stop-deleted-queue"},
		{"is given back as by [OutcomeRelease], before Stop returns", "stop-gives-back wakes-stop stop-under-load"},
		{"Settle and Extend go on for what Receive returned, until Close", "stop-holds"},
		{"A second Stop, and one after Close, is a no-op", "stop-receive stop-again"},
	}},
	{"Consumer.Close", []sentence{
		{"Close ends the consumer", "close-unblocks consumers-apart"},
		{"becomes available when its lease ends, at the latest", "close-keeps closed-consumer group-close"},
	}},
	{"OnceImporter", []sentence{
		{"is not stored, in whatever state and with whatever history it comes", "import-once"},
		{"also after the first has run, died or been removed", "import-once"},
		{"there is never one without the other", "import-once-race"},
		{"DeleteQueue forgets all keys", "import-forget"},
		{"so that an entry with one is stored again", "import-forget"},
	}},
	{"Message", []sentence{
		{"drivers carry all of them, unchanged, from Enqueue to [Delivery] and [DeadLetter]", "fields keeps-on-retry keeps-on-release keeps-on-loss keeps-on-death keeps-on-redrive receive-each bounds-message"},
		{"drivers do not enforce that", "same-id same-id-dead"},
		{"values are any bytes", "headers alike-headers"},
		{"The names' case is kept", "headers alike-headers"},
		{"One that is not from zero to [Delayer.MaxDelay] is an error that wraps [ErrConfig], and nothing is sent of the job", "delay-bounds"},
		{"drivers measure it by the broker's clock if they can", "clock-delay delay"},
		{"how long DedupKey is remembered from the enqueue on", "window-slides window-again window-delayed clock-key"},
	}},
	{"Delivery", []sentence{
		{"as the last settlement with [OutcomeRetry] stored it", "retry-history settle-each history-text"},
		{"Bounces is how often a worker put the job back", "bounce-retry bounce-release bounce-loss"},
		{"Deliveries is how often the job was handed out, this time included", "count-deliveries attempts"},
		{"Redeliveries is how often a holder vanished with the job", "lease-expiry release-keeps-redeliveries retry-forgets-redeliveries"},
		{"A release does not change it", "release-many release-keeps-redeliveries"},
	}},
	{"Outcome", []sentence{
		{"OutcomeDone removes the job", "done-removes"},
		{"It is not early, and no more than a second late", "retry-delay retry-mixed retry-unattended clock-retry"},
		{"A job of a group keeps its group blocked meanwhile", "group-retry group-settled-together"},
		{"OutcomeRelease makes the job available again at once", "release wakes-release"},
		{"OutcomeDead moves the job to the dead letters", "permanent settle-each bounce-dead"},
		{"Strip is set with Dead when the job did not fit", "dead-stripped"},
	}},
	{"TxEnqueuer", []sentence{
		{"TxType is the type of the transactions that the driver takes", "tx-commit"},
		{"takes effect when the application commits the transaction, together with all else in it", "tx-commit tx-unseen tx-queues tx-concurrent tx-complete-enqueue tx-effects tx-effects-restart"},
		{"and never if the transaction is rolled back", "tx-rollback tx-many tx-queues tx-concurrent tx-effects"},
		{"What was committed is handed out at once, as after Enqueue", "tx-wakes-idle tx-wakes-worker"},
		{"The promises of the driver's other capabilities hold for what a transaction stores", "tx-commit tx-priority tx-group tx-duplicate tx-key-free"},
		{"delays count from the call", "tx-delay"},
		{"Neither method begins, commits or rolls back tx", "tx-unseen tx-complete-lost tx-effects-drain"},
	}},
	{"TxEnqueuer.EnqueueTx", []sentence{
		{"one result for each, in their order, or nil when none is a duplicate", "tx-duplicate tx-many tx-closed"},
		{"An error says that nothing of the call is part of tx", "tx-refused tx-missing tx-context tx-key-context tx-closed"},
		{"then the call waits until that one has ended or ctx ends", "tx-key-commit tx-key-rollback tx-key-context"},
		{"If two wait for each other, one of them gets an error", "tx-deadlock"},
		{"EnqueueAtomic waits too", "tx-key-atomic"},
		{"a message with such a key is refused, alone and at once, with an error that wraps [ErrKeyHeld]", "tx-beside"},
		{"and the core sends it again until it is known", "tx-key-enqueue"},
		{"A transaction of another database than that of the driver is an error that wraps [ErrConfig]", "tx-elsewhere"},
		{"The bounds are those of [Driver].Enqueue", "tx-many tx-refused"},
	}},
	{"TxEnqueuer.CompleteTx", []sentence{
		{"CompleteTx removes the job of a delivery as part of tx, as Settle does", "tx-complete tx-complete-group tx-effects"},
		{"While tx is open nobody is handed the job, whether or not its lease ends meanwhile", "tx-complete-outlives tx-effects-killed"},
		{"the delivery is held as before, for what is left of its lease", "tx-complete-rollback tx-complete-remains"},
		{"is an error that wraps [ErrLeaseLost], and tx goes on without a change", "tx-complete-lost tx-effects-lost"},
		{"A delivery of another database, or of other queues of the same one, is an error that wraps [ErrConfig]", "tx-foreign"},
		{"Settle and Extend refuse such a delivery too", "tx-foreign"},
		{"[Consumer].Extend counts the delivery as held", "tx-complete-outlives tx-complete-beside"},
		{"and Settle refuses it, alone and at once", "tx-complete-beside"},
		{"After the commit Settle and Extend say [ErrLeaseLost]", "tx-complete tx-complete-outlives"},
	}},
}

// spoken is the text of a package's comments, each on one line.
func spoken(t *testing.T, files ...string) string {
	t.Helper()
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(regexp.MustCompile(`(?m)^\s*//(   )?`).ReplaceAllString(string(text), " "))
	}
	return strings.Join(strings.Fields(all.String()), " ")
}

// Each sentence of the table must be in the source, and its cases in the suite.
func TestSentencesAreKept(t *testing.T) {
	source := spoken(t, "../driver/driver.go", "../driver/message.go", "../driver/capability.go", "../driver/tx.go")
	known := make(map[string]bool)
	for _, c := range conformance.Cases() {
		known[c.Name] = true
	}
	for _, method := range sentences {
		for _, one := range method.all {
			if !strings.Contains(source, one.text) {
				t.Errorf("%s: package driver does not say %q any more", method.of, one.text)
			}
			for _, name := range strings.Fields(one.cases) {
				if !known[name] {
					t.Errorf("%s: there is no case %s for %q", method.of, name, one.text)
				}
			}
		}
	}
}
