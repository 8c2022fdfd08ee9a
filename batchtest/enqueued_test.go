package batchtest_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// enqueue stores a job, whose ID is to be known.
func enqueue(t testing.TB, q *batch.Queue[*memory.Driver], id string, args batch.Args, options ...batch.Option[*memory.Driver]) {
	t.Helper()
	if _, err := q.Enqueue(t.Context(), args, append(options, batch.ID(q, id))...); err != nil {
		t.Fatal(err)
	}
}

// inBubble runs a test in a bubble, with a queue of its own.
func inBubble(t *testing.T, test func(t *testing.T, emails *batch.Queue[*memory.Driver])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, batch.NewQueue(memory.New(), "emails")) })
}

func TestRequireEnqueuedFindsTheJob(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		enqueue(t, emails, "other", Welcome{UserID: 8})
		enqueue(t, emails, "another", Goodbye{UserID: 7})
		enqueue(t, emails, "it", Welcome{UserID: 7, Lang: "de"}, batch.Priority(emails, batch.High), batch.Delay(emails, time.Hour),
			batch.Unique(emails, "welcome-7"), batch.Header(emails, "tenant", "acme"), batch.Header(emails, "trace", "1"),
			batch.MaxAttempts(emails, 3), batch.Timeout(emails, time.Minute), batch.ExpiresIn(emails, 2*time.Hour))
		job := batchtest.RequireEnqueued[Welcome](t, emails,
			batchtest.WithArgs(Welcome{UserID: 7, Lang: "de"}), batchtest.WithArgsFunc(func(w Welcome) bool { return w.UserID == 7 }),
			batchtest.WithID("it"), batchtest.WithPriority(batch.High), batchtest.WithDelay(time.Hour), batchtest.WithUnique("welcome-7"),
			batchtest.WithHeader("tenant", "acme"), batchtest.WithoutHeader("span"), batchtest.WithGroup(""), batchtest.WithMaxAttempts(3),
			batchtest.WithTimeout(time.Minute), batchtest.WithExpiresIn(2*time.Hour), batchtest.WithFailures(0),
			batchtest.Where("a trace", func(e batch.Entry) bool { return e.Headers["trace"] != "" }))
		if job.ID != "it" || job.Args.Lang != "de" || job.Delay != time.Hour || job.State != batch.StateScheduled {
			t.Errorf("the job is %+v", job)
		}
		// The same of a job that has nothing of this.
		job = batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithArgs(Welcome{UserID: 8}),
			batchtest.WithPriority(batch.Normal), batchtest.WithDelay(0), batchtest.WithUnique(""), batchtest.WithMaxAttempts(0),
			batchtest.WithTimeout(0), batchtest.WithExpiresIn(0))
		if job.ID != "other" || job.Delay != 0 {
			t.Errorf("the job is %+v", job)
		}
	})
}

func TestRequireEnqueuedFindsGroups(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	enqueue(t, emails, "1", Welcome{}, batch.Group(emails, "acme"))
	enqueue(t, emails, "2", Welcome{}, batch.Group(emails, "acme"))
	enqueue(t, emails, "3", Welcome{})
	jobs := batchtest.RequireEnqueuedMany[Welcome](t, emails, 2, batchtest.WithGroup("acme"))
	if jobs[0].ID != "1" || jobs[1].ID != "2" {
		t.Errorf("the jobs are %+v", jobs)
	}
	batchtest.RequireNone[Welcome](t, emails, batchtest.WithGroup("other"))
	batchtest.RequireNone[Goodbye](t, emails)
}

func TestRequireEnqueuedSaysWhatDiffers(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		enqueue(t, emails, "far", Welcome{UserID: 9}, batch.Header(emails, "tenant", "other"), batch.Group(emails, "g"))
		enqueue(t, emails, "near", Welcome{UserID: 7}, batch.Delay(emails, 2*time.Hour), batch.Header(emails, "tenant", "acme"), batch.Unique(emails, "k"))
		enqueue(t, emails, "bye", Goodbye{})
		wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome with args {UserID:7 Lang:}, delay 1h0m0s, header tenant "acme", unique key "k", group none
  job near, scheduled, differs:
    delay is 2h0m0s, want 1h0m0s
  job far, waiting, differs:
    args.UserID is 9, want 7
    delay is none, want 1h0m0s
    header tenant is "other", want "acme"
    unique key is none, want "k"
    group is "g", want none
  it has other kinds: 1 email.goodbye`, func(t testing.TB) {
			batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithArgs(Welcome{UserID: 7}), batchtest.WithDelay(time.Hour),
				batchtest.WithHeader("tenant", "acme"), batchtest.WithUnique("k"), batchtest.WithGroup(""))
		})
		wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome with priority high, max attempts 3, timeout 1m0s, expiry 1h0m0s, failures 1, last error with "full", ID x, header tenant missing, reason permanent, args for which the function returns true, a trace
  job far, waiting, differs:
    priority is normal, want high
    max attempts is 0, want 3
    timeout is none, want 1m0s
    expiry is none, want 1h0m0s
    failures is 0, want 1
    last error is "", want "full" in it
    ID is far, want x
    header tenant is "other", want missing
    reason is none, want permanent
    args are {UserID:9 Lang:}, and the function returns false
    it is without a trace
  job near, scheduled, differs:
    priority is normal, want high
    max attempts is 0, want 3
    timeout is none, want 1m0s
    expiry is none, want 1h0m0s
    failures is 0, want 1
    last error is "", want "full" in it
    ID is near, want x
    header tenant is "acme", want missing
    reason is none, want permanent
    args are {UserID:7 Lang:}, and the function returns false
    it is without a trace
  it has other kinds: 1 email.goodbye`, func(t testing.TB) {
			batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithPriority(batch.High), batchtest.WithMaxAttempts(3), batchtest.WithTimeout(time.Minute),
				batchtest.WithExpiresIn(time.Hour), batchtest.WithFailures(1), batchtest.WithLastError("full"), batchtest.WithID("x"), batchtest.WithoutHeader("tenant"),
				batchtest.WithReason(batch.ReasonPermanent), batchtest.WithArgsFunc(func(Welcome) bool { return false }),
				batchtest.Where("a trace", func(batch.Entry) bool { return false }))
		})
	})
}

// store stores a job of kind email.welcome in a state that it has only later.
func store(t testing.TB, q *batch.Queue[*memory.Driver], id, body string, e batch.Entry) {
	t.Helper()
	e.Message = driver.Message{ID: id, Kind: "email.welcome", ContentType: "application/json", Body: []byte(body), EnqueuedAt: time.Now()}
	if _, err := batch.Import(t.Context(), q, []batch.Entry{e}); err != nil {
		t.Fatal(err)
	}
}

// A job that waits for its retry is held back for another reason than its delay.
func TestDelayOfAJobThatHasRun(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		store(t, emails, "ran", "{}", batch.Entry{State: batch.StateScheduled, DueAt: time.Now().Add(time.Hour), Deliveries: 1, Failures: 1, LastError: "full"})
		wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome with delay 1h0m0s
  job ran, scheduled, differs:
    delay is that of a retry or a snooze, until 2000-01-01T01:00:00Z, want 1h0m0s`, func(t testing.TB) {
			batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithDelay(time.Hour))
		})
		job := batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithFailures(1), batchtest.WithLastError("ful"))
		if job.Delay != 0 {
			t.Errorf("the delay of the enqueue is %s, want 0, as it is not known", job.Delay)
		}
	})
}

func TestRequireEnqueuedSaysWhereElseJobsAre(t *testing.T) {
	d := memory.New()
	emails, mails := batch.NewQueue(d, "emails"), batch.NewQueue(d, "mails")
	wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome
  the queue does not exist: nothing was enqueued on it`, func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails) })
	batchtest.RequireNone[Welcome](t, emails)
	batchtest.RequireEmpty(t, emails)

	enqueue(t, mails, "1", Welcome{})
	store(t, emails, "2", "{}", batch.Entry{State: batch.StateDead, Reason: batch.ReasonPermanent, LastError: "no such user", DeadAt: time.Now()})
	enqueue(t, emails, "3", Goodbye{})
	consumer, err := d.Consume(t.Context(), "emails", driver.ConsumeOptions{Lease: time.Minute, Prefetch: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := consumer.Receive(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome
  it has none of any kind
  1 job is running, which cannot be looked at
  job 2 of the kind is a dead letter (permanent): no such user
  queue mails has 1 of the kind`, func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails) })
}

func TestTooManyJobs(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	for _, id := range []string{"1", "2", "3", "4", "5", "6", "7"} {
		enqueue(t, emails, id, Welcome{UserID: 7}, batch.Priority(emails, batch.Low), batch.Unique(emails, id))
	}
	enqueue(t, emails, "8", Welcome{UserID: 8}, batch.Header(emails, "tenant", "acme"))
	many := `
  job 1 of kind email.welcome, waiting, args {UserID:7 Lang:}, priority low, unique key "1"
  job 2 of kind email.welcome, waiting, args {UserID:7 Lang:}, priority low, unique key "2"
  job 3 of kind email.welcome, waiting, args {UserID:7 Lang:}, priority low, unique key "3"
  job 4 of kind email.welcome, waiting, args {UserID:7 Lang:}, priority low, unique key "4"
  job 5 of kind email.welcome, waiting, args {UserID:7 Lang:}, priority low, unique key "5"
  and 2 more`
	wantFailure(t, "batchtest: queue emails has 7 jobs of kind email.welcome with priority low, want one (for more there is RequireEnqueuedMany):"+many,
		func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithPriority(batch.Low)) })
	wantFailure(t, "batchtest: queue emails has 7 jobs of kind email.welcome with priority low, want 6:"+many+"\n  and 1 of the kind that differ",
		func(t testing.TB) {
			batchtest.RequireEnqueuedMany[Welcome](t, emails, 6, batchtest.WithPriority(batch.Low))
		})
	wantFailure(t, "batchtest: queue emails has 1 of kind email.welcome with args {UserID:8 Lang:}, want none:"+
		"\n  job 8 of kind email.welcome, waiting, args {UserID:8 Lang:}, header tenant \"acme\"",
		func(t testing.TB) { batchtest.RequireNone[Welcome](t, emails, batchtest.WithArgs(Welcome{UserID: 8})) })
	wantFailure(t, "batchtest: RequireEnqueuedMany is asked for 0 jobs: must be one or more (for none there is RequireNone)",
		func(t testing.TB) { batchtest.RequireEnqueuedMany[Welcome](t, emails, 0) })
	wantFailure(t, `
batchtest: queue emails has no job of kind email.goodbye
  it has other kinds: 8 email.welcome`, func(t testing.TB) { batchtest.RequireEnqueuedMany[Goodbye](t, emails, 1) })
}

// What cannot be decoded is not overlooked.
func TestJobThatCannotBeDecoded(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	store(t, emails, "bad", "7", batch.Entry{State: batch.StateWaiting})
	wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome with args {UserID:7 Lang:}
  job bad, waiting, differs:
    args cannot be decoded: json: cannot unmarshal number into Go value of type batchtest_test.Welcome`, func(t testing.TB) {
		batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithArgs(Welcome{UserID: 7}))
	})
	wantFailure(t, "batchtest: queue emails has 1 of kind email.welcome, want none:\n  job bad of kind email.welcome, waiting, body \"7\"",
		func(t testing.TB) { batchtest.RequireNone[Welcome](t, emails) })
	other := batch.NewQueue(emails.Driver(), "emails", batch.WithCodec(sealed{}))
	wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome
  job bad, waiting, differs:
    args cannot be decoded: its content type is "application/json", and the codec of the queue's handle is for "application/x-sealed"`,
		func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, other) })
}

// The codec of the queue's handle decodes, and what it does not store makes no difference.
func TestRequireEnqueuedWithACodec(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails", batch.WithCodec(sealed{}))
	enqueue(t, emails, "1", &lossy{At: time.Now(), Tags: []string{"a"}, hidden: 1})
	job := batchtest.RequireEnqueued[*lossy](t, emails, batchtest.WithHeader("key", "emails"))
	batchtest.RequireEnqueued[*lossy](t, emails, batchtest.WithArgs(&lossy{At: job.Args.At.UTC(), Tags: []string{"a"}, hidden: 2}))
	batchtest.RequireNone[*lossy](t, emails, batchtest.WithArgs(&lossy{At: job.Args.At, Tags: []string{"b"}}))
}

// lossy is a job of which not all is stored.
type lossy struct {
	At     time.Time
	Tags   []string
	hidden int
}

func (*lossy) Kind() string { return "lossy" }

func TestNilQueues(t *testing.T) {
	var emails *batch.Queue[*memory.Driver]
	for _, require := range []func(t testing.TB){
		func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails) },
		func(t testing.TB) { batchtest.RequireEnqueuedMany[Welcome](t, emails, 1) },
		func(t testing.TB) { batchtest.RequireNone[Welcome](t, emails) },
		func(t testing.TB) { batchtest.RequireExactly(t, emails) },
		func(t testing.TB) { batchtest.RequireEmpty(t, emails) },
		func(t testing.TB) { batchtest.RequireDead[Welcome](t, emails) },
	} {
		wantFailure(t, "batchtest: the queue is nil", require)
	}
}

func TestMatchesThatCannotBe(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	for want, match := range map[string]batchtest.Match{
		"batchtest: match 1 is for args of type batchtest_test.Goodbye: must be batchtest_test.Welcome, which are looked for":  batchtest.WithArgs(Goodbye{}),
		"batchtest: match 1 is for args of type *batchtest_test.Welcome: must be batchtest_test.Welcome, which are looked for": batchtest.WithArgsFunc(func(*Welcome) bool { return true }),
		"batchtest: match 1 is the zero Match: must be made by one of the match functions":                                     {},
		"batchtest: WithArgsFunc is given nil: must be a function":                                                             batchtest.WithArgsFunc[Welcome](nil),
		"batchtest: Where is given nil: must be a function":                                                                    batchtest.Where("a trace", nil),
		"batchtest: WithDelay is -1s: must be zero or longer":                                                                  batchtest.WithDelay(-time.Second),
		"batchtest: WithPriority is Level(9): must be one of Trivial, Low, Normal, High, Critical":                             batchtest.WithPriority(9),
	} {
		wantFailure(t, want, func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails, match) })
		wantFailure(t, want, func(t testing.TB) { batchtest.RequireNone[Welcome](t, emails, match) })
		wantFailure(t, want, func(t testing.TB) { batchtest.RequireDead[Welcome](t, emails, match) })
		wantFailure(t, strings.Replace(want, "batchtest: ", "batchtest: expected job 1: ", 1), func(t testing.TB) {
			batchtest.RequireExactly(t, emails, batchtest.Expect[Welcome](match))
		})
	}
}

// A driver that is closed answers, and the answer is said.
func TestDriverThatIsClosed(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	enqueue(t, emails, "1", Welcome{})
	if err := emails.Driver().Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, require := range map[string]func(t testing.TB){
		"jobs":         func(t testing.TB) { t.Helper(); batchtest.RequireEnqueued[Welcome](t, emails) },
		"dead letters": func(t testing.TB) { t.Helper(); batchtest.RequireDead[Welcome](t, emails) },
	} {
		f := try(t, require)
		if want := "batchtest: the " + what + " of queue emails cannot be listed: memory: "; len(f.messages) != 1 || !strings.HasPrefix(f.messages[0], want) {
			t.Errorf("the test says %q, want %q", f.messages, want)
		}
	}
}
