package batchtest_test

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

// A queue may have more jobs than a page, and a message has few of them.
func TestManyJobs(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	enqueueAll := func(n int) {
		t.Helper()
		if _, err := batch.EnqueueAll(t.Context(), emails, make([]Welcome, n)); err != nil {
			t.Fatal(err)
		}
	}
	enqueueAll(1500)
	batchtest.RequireEnqueuedMany[Welcome](t, emails, 1500, batchtest.WithArgs(Welcome{}))
	f := try(t, func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithPriority(batch.High)) })
	if len(f.messages) != 1 || strings.Count(f.messages[0], "differs:") != 5 || !strings.HasSuffix(f.messages[0], "\n  1495 more of the kind differ in no fewer places") {
		t.Errorf("the test says %q", f.messages)
	}
	enqueueAll(8501)
	wantFailure(t, "batchtest: the jobs of queue emails cannot be listed: it has more than 10000: is it the queue of a test?",
		func(t testing.TB) { batchtest.RequireNone[Welcome](t, emails) })
}

// panicking is a codec that does when it decodes, and when it encodes user 13.
type panicking struct{ batch.JSON }

func (p panicking) Encode(args any) ([]byte, error) {
	if w, ok := args.(Welcome); ok && w.UserID == 13 {
		panic("an unlucky number")
	}
	return p.JSON.Encode(args)
}

func (panicking) Decode([]byte, any) error { panic("cannot read") }

func TestCodecThatPanics(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails", batch.WithCodec(panicking{}))
	enqueue(t, emails, "1", Welcome{})
	wantFailure(t, `
batchtest: queue emails has no job of kind email.welcome
  job 1, waiting, differs:
    args cannot be decoded: panic while decoding: cannot read`, func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails) })
	wantFailure(t, "batchtest: the args of kind email.welcome cannot be encoded by batchtest_test.panicking: panic while encoding: an unlucky number",
		func(t testing.TB) { batchtest.NewJob(t, Welcome{UserID: 13}, batchtest.Codec(panicking{})) })
	result := batchtest.Work(t, greet, Welcome{}, batchtest.Codec(panicking{}))
	if result.Started || result.Verdict.Reason != batch.ReasonUndecodable {
		t.Errorf("the result is %s", result)
	}
}

// Args that do not go through the codec equal nothing.
func TestArgsThatCannotBeCompared(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	enqueue(t, emails, "1", &number{})
	wantFailure(t, `
batchtest: queue emails has no job of kind number with args {C:+Inf}
  job 1, waiting, differs:
    args cannot be compared: the wanted ones do not go through the codec: json: unsupported value: +Inf`, func(t testing.TB) {
		batchtest.RequireEnqueued[*number](t, emails, batchtest.WithArgs(&number{C: math.Inf(1)}))
	})
}

// number is a job that can be stored only if it is finite.
type number struct{ C any }

func (*number) Kind() string { return "number" }

// A test may close the driver before its cleanups stop the workers.
func TestDriverIsClosedFirst(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		d := emails.Driver()
		defer d.Close(t.Context())
		enqueue(t, emails, "1", Welcome{UserID: 7})
		batchtest.Drain(t, d, welcomes(d, greet))
	})
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		d := emails.Driver()
		defer d.Close(t.Context())
		enqueue(t, emails, "1", Welcome{UserID: 7})
		batchtest.Start(t, d, welcomes(d, greet)).Drain()
	})
}

// A worker that does not go on is not waited for.
func TestDrainOfAStoppedWorker(t *testing.T) {
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		d := emails.Driver()
		w := welcomes(d, greet)
		wantFailure(t, "batchtest: a worker has stopped, and there is nobody to wait for", func(t testing.TB) {
			running := batchtest.Start(t, d, w)
			if err := w.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
			enqueue(t, emails, "1", Welcome{})
			running.Drain()
		})
	})
	inBubble(t, func(t *testing.T, emails *batch.Queue[*memory.Driver]) {
		d := emails.Driver()
		enqueue(t, emails, "1", Welcome{})
		f := try(t, func(t testing.TB) {
			batchtest.Drain(t, d, welcomes(d, func(context.Context, *batch.Job[Welcome]) error { return d.Close(context.Background()) }))
		})
		if len(f.messages) == 0 || !strings.HasPrefix(f.messages[0], "batchtest: a worker has failed, and does not go on\n  the last results: 1 of kind email.welcome on queue emails") {
			t.Errorf("the test says %q", f.messages)
		}
	})
}
