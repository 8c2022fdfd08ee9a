package batchtest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/batchtest"
	"github.com/batch-go/batch/driver/memory"
)

// A failure with many jobs, and with large values, is still one that can be read.
func TestMessagesAboutMuchAreShort(t *testing.T) {
	t.Parallel()
	emails := batch.NewQueue(memory.New(), "emails")
	long := strings.Repeat("y", 3000)
	var expected []batchtest.Expected
	for i := range 100 {
		enqueue(t, emails, fmt.Sprint(i), Welcome{UserID: i, Lang: long}, batch.Header(emails, "tenant", long), batch.Group(emails, strings.Repeat("g", 128)))
		expected = append(expected, batchtest.Expect[Goodbye](batchtest.WithHeader("tenant", long)))
	}
	for name, test := range map[string]func(t testing.TB){
		"exactly": func(t testing.TB) { batchtest.RequireExactly(t, emails, expected...) },
		"empty":   func(t testing.TB) { batchtest.RequireEmpty(t, emails) },
		"none":    func(t testing.TB) { batchtest.RequireNone[Welcome](t, emails) },
		"many":    func(t testing.TB) { batchtest.RequireEnqueuedMany[Welcome](t, emails, 3) },
		"header": func(t testing.TB) {
			batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithHeader("tenant", long+"z"))
		},
		"last error": func(t testing.TB) { batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithLastError(long)) },
	} {
		f := try(t, test)
		if len(f.messages) != 1 || len(f.messages[0]) > 10_000 || strings.Count(f.messages[0], "\n") > 20 {
			t.Errorf("%s: %d messages, the first %.3000s", name, len(f.messages), f.messages)
		}
	}
}

// Where long values differ behind what is shown of them, the message has that place.
func TestLongValuesThatDifferLate(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	long := strings.Repeat("y", 3000)
	enqueue(t, emails, "1", Welcome{}, batch.Header(emails, "tenant", long+"acme"))
	f := try(t, func(t testing.TB) {
		batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithHeader("tenant", long+"other"))
	})
	const want = `header tenant is (3006 bytes, from byte 2981) ...yyyyyyyyyyyyyyyyyyyyacme", want (3007 bytes, from byte 2981) ...yyyyyyyyyyyyyyyyyyyyother"`
	if len(f.messages) != 1 || !strings.Contains(f.messages[0], want) {
		t.Errorf("the test says %q, want %s in it", f.messages, want)
	}
	enqueue(t, emails, "2", Welcome{UserID: 2, Lang: long + "de"})
	f = try(t, func(t testing.TB) {
		batchtest.RequireEnqueued[Welcome](t, emails, batchtest.WithArgs(Welcome{UserID: 2, Lang: long + "fr"}))
	})
	const lang = `args.Lang is (3004 bytes, from byte 2981) ...yyyyyyyyyyyyyyyyyyyyde", want (3004 bytes, from byte 2981) ...yyyyyyyyyyyyyyyyyyyyfr"`
	if len(f.messages) != 1 || !strings.Contains(f.messages[0], lang) {
		t.Errorf("the test says %q, want %s in it", f.messages, lang)
	}
}

// As many expected jobs as there are jobs, all of them alike, are paired without trying each with each.
func TestRequireExactlyOfManyAlike(t *testing.T) {
	emails := batch.NewQueue(memory.New(), "emails")
	var expected []batchtest.Expected
	tried := 0
	for i := range 200 {
		enqueue(t, emails, fmt.Sprint(i), Welcome{UserID: i})
		expected = append(expected, batchtest.Expect[Welcome](batchtest.WithArgsFunc(func(Welcome) bool {
			tried++
			return true
		})))
	}
	batchtest.RequireExactly(t, emails, expected...)
	if tried > 200 {
		t.Errorf("200 jobs were looked at %d times, want once each", tried)
	}
}

// A test that has failed before goes on with a handler that panics.
func TestPanicInATestThatFailedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memory.New()
		emails := batch.NewQueue(d, "emails")
		enqueue(t, emails, "1", Welcome{}, batch.MaxAttempts(emails, 2))
		panics := func(context.Context, *batch.Job[Welcome]) error { panic("oh") }
		f := try(t, func(t testing.TB) {
			t.Errorf("before")
			result := batchtest.Work(t, panics, Welcome{})
			batchtest.RequirePanic(t, result.Err)
			t.Errorf("after %d runs", len(batchtest.Drain(t, d, welcomes(d, panics))))
		})
		if len(f.messages) != 2 || f.messages[1] != "after 2 runs" {
			t.Errorf("the test says %q", f.messages)
		}
	})
}
