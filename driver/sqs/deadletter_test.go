package sqs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/lifecycle"
)

// bury puts n dead letters into the queue "q", of jobs with bodies of so many bytes.
func bury(t *testing.T, d testDriver, n, bytes int) {
	t.Helper()
	body, err := json.Marshal(strings.Repeat("x", bytes))
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < n; from += maxEntries {
		entries := make([]*driver.Entry, 0, maxEntries)
		for i := from; i < min(from+maxEntries, n); i++ {
			e := importEntry(fmt.Sprintf("%05d", i), driver.StateDead)
			e.Reason, e.Body, e.DeadAt = driver.ReasonAttempts, body, e.EnqueuedAt.Add(time.Duration(i)*time.Second)
			entries = append(entries, e)
		}
		for _, r := range d.Import(t.Context(), "q", entries) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}

// What is redriven dies at once, over and over: a Redrive of all moves what was dead
// when it began, each once, whether or not SQS had handed it out before.
func TestRedriveAllEnds(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		const letters = 300
		bury(t, d, letters, 10)
		dead := "q-dead"
		if f.queues[dead] == nil {
			dead = "q-fifo-dead"
		}
		f.intercept = func(action string, in *fakeRequest) (int, any, bool) {
			if action != "SendMessageBatch" || strings.HasSuffix(in.QueueURL, dead) {
				return 0, nil, false
			}
			time.Sleep(5 * time.Millisecond) // the handler fails
			in.QueueURL = "http://fake/1/" + dead
			return 0, nil, false
		}
		for _, listed := range []bool{false, true} {
			time.Sleep(10 * time.Second)
			if listed {
				if _, _, err := d.DeadLetters(t.Context(), "q", "", 1); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			n, err := d.Redrive(ctx, "q", driver.Selection{All: true})
			cancel()
			if n != letters || err != nil {
				t.Errorf("of %d dead letters, listed before: %t, Redrive moved %d: %v", letters, listed, n, err)
			}
		}
	})
}

// Two letters of one job are both redriven, also if SQS has handed out the first of them
// before and the other one died in the second in which the scan begins.
func TestRedriveAllOfOneID(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		const letters = 30
		bury(t, d, letters, 10)
		if _, _, err := d.DeadLetters(t.Context(), "q", "", 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(1500 * time.Millisecond)))
		bury(t, d, letters, 10)
		time.Sleep(10 * time.Millisecond)
		f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
			time.Sleep(5 * time.Millisecond) // the way
			return 0, nil, false
		}
		n, err := d.Redrive(t.Context(), "q", driver.Selection{All: true})
		if n != 2*letters || err != nil {
			t.Errorf("of %d dead letters Redrive moved %d: %v", 2*letters, n, err)
		}
	})
}

// A page of one does not read all dead letters, and all pages together show each of
// them once, in order.
func TestListingIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		const letters, bytes = 1500, 11_000
		bury(t, d, letters, bytes)
		page, next, err := d.DeadLetters(t.Context(), "q", "", 1)
		if err != nil || len(page) != 1 || page[0].ID != "00000" || next == "" {
			t.Fatalf("the first page: %v, %q, %v", page, next, err)
		}
		requests := f.count("ReceiveMessage")
		t.Logf("a page of one of %d dead letters of %d bytes took %d requests", letters, bytes, requests)
		if most := chunkBytes/bytes/maxEntries + 2; requests > most {
			t.Errorf("a page of one took %d requests, want %d at most", requests, most)
		}
		for at := 1; next != ""; at += len(page) {
			again := next
			if page, next, err = d.DeadLetters(t.Context(), "q", again, 700); err != nil {
				t.Fatal(err)
			}
			for i, l := range page {
				if l.ID != fmt.Sprintf("%05d", at+i) {
					t.Fatalf("letter %d is %s", at+i, l.ID)
				}
			}
			if next == "" && at+len(page) != letters {
				t.Errorf("%d of %d letters were listed", at+len(page), letters)
			}
			if at > 1 {
				continue
			}
			if repeated, _, err := d.DeadLetters(t.Context(), "q", again, 700); next != "" && (err != nil || len(repeated) != len(page) || repeated[0].ID != page[0].ID) {
				t.Fatalf("the same page again has %d letters, not %d: %v", len(repeated), len(page), err)
			}
		}
	})
}

// A cursor into what is not kept any more is refused, where going on could miss some.
func TestListingExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		for letters, want := range map[int]error{100: nil, chunkLetters + 100: driver.ErrConfig} {
			bury(t, d, letters, 10)
			_, next, err := d.DeadLetters(t.Context(), "q", "", 10)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(listingExpiry + time.Second)
			if _, _, err := d.DeadLetters(t.Context(), "q", next, 10); !errors.Is(err, want) {
				t.Errorf("the next page of %d letters, late: %v, want %v", letters, err, want)
			}
			if _, err := d.Discard(t.Context(), "q", driver.Selection{All: true}); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A call on dead letters keeps its deadline although it has to give some back, which
// goes on without it.
func TestScanKeepsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		bury(t, d, 30, 10)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
			switch action {
			case "ReceiveMessage":
				time.Sleep(200 * time.Millisecond)
			case "ChangeMessageVisibilityBatch":
				time.Sleep(5 * time.Second)
			}
			return 0, nil, false
		}
		begin := time.Now()
		_, err := d.Discard(ctx, "q", driver.Selection{IDs: []string{"none"}})
		if late := time.Since(begin) - 500*time.Millisecond; late > 100*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Discard returned %s after its deadline: %v", late, err)
		}
		closeAll(t, d)
		if n := f.count("ChangeMessageVisibilityBatch"); n == 0 {
			t.Error("what was received was not given back")
		}
	})
}

// A call on dead letters whose context ends while SQS hands some out gives these back,
// too: others need not wait until they are visible by themselves.
func TestScanGivesBackWhatIsOnTheWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		late := doer(func(r *http.Request) (*http.Response, error) {
			answer, err := f.Do(r)
			if err == nil && strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ReceiveMessage") {
				err = lifecycle.Sleep(r.Context(), 150*time.Millisecond)
			}
			return answer, err
		})
		d, err := New(t.Context(), awssqs.New(f.client().Options(), func(o *awssqs.Options) { o.HTTPClient = late }), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, d)
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		bury(t, d, 30, 10)
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			n, err := d.Redrive(ctx, "q", driver.Selection{All: true})
			cancel()
			if n != 0 || !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("Redrive moved %d: %v", n, err)
			}
		}
		begin := time.Now()
		n, err := d.Redrive(t.Context(), "q", driver.Selection{All: true})
		if took := time.Since(begin); n != 30 || err != nil || took > 5*time.Second {
			t.Errorf("Redrive moved %d of 30 in %s: %v", n, took, err)
		}
	})
}

// One letter that the queue does not take stays where it is, and the others go.
func TestRedriveTooLarge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		bury(t, d, 30, 10)
		f.put(t, "q-dead", strings.Repeat("x", 200_000), map[string]string{attributeName: `{"v":1,"kind":"k","reason":"expired"}`})
		f.queues["q"].attributes["MaximumMessageSize"] = "150000"
		d.queues.Delete("q")
		n, err := d.Redrive(t.Context(), "q", driver.Selection{All: true})
		if n != 30 || !errors.Is(err, driver.ErrTooLarge) {
			t.Errorf("Redrive moved %d: %v", n, err)
		}
	})
}

// A server that takes less than it did refuses a whole request because of one entry.
func TestEnqueueSingly(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.queues["q"].attributes["MaximumMessageSize"] = "150000" // after the driver has asked
	large := job("large", 0)
	large.Body = []byte(strings.Repeat("x", 200_000))
	got := d.Enqueue(t.Context(), "q", []*driver.Message{job("a", 0), large, job("b", 0)})
	for i, want := range []error{nil, driver.ErrTooLarge, nil} {
		if !errors.Is(got[i].Err, want) || want != nil && driver.FateOf(got[i].Err) != driver.FateNotStored {
			t.Errorf("job %d: %v, want %v", i, got[i].Err, want)
		}
	}
	if n := f.count("SendMessageBatch"); n != 4 {
		t.Errorf("%d requests, want one and one for each", n)
	}
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusInternalServerError, map[string]string{"__type": "com.amazonaws.sqs#InternalFailure"}, action == "SendMessageBatch"
	}
	before := f.count("SendMessageBatch")
	d.Enqueue(t.Context(), "q", []*driver.Message{job("a", 0), job("b", 0)})
	if n := f.count("SendMessageBatch") - before; n != 1 {
		t.Errorf("a request that failed otherwise was tried %d times", n)
	}
}

// A server that refuses one entry by itself has stored the others: none is sent again.
func TestEnqueueStoresNoneTwice(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.intercept = func(action string, in *fakeRequest) (int, any, bool) {
		if action != "SendMessageBatch" {
			return 0, nil, false
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		in.Entries = in.Entries[1:]
		answer := f.batch(action, f.queues["q"], in).(map[string]any)
		answer["Failed"] = []map[string]any{{"Id": "0", "Code": "InvalidParameterValue", "SenderFault": true,
			"Message": "One or more parameters are invalid. Reason: Message must be shorter than 1024 bytes."}}
		return http.StatusOK, answer, true
	}
	got := d.Enqueue(t.Context(), "q", []*driver.Message{job("large", 0), job("a", 0), job("b", 0)})
	if !errors.Is(got[0].Err, driver.ErrTooLarge) || got[1].Err != nil || got[2].Err != nil {
		t.Errorf("results %v, %v, %v", got[0].Err, got[1].Err, got[2].Err)
	}
	if n := len(f.queues["q"].messages); n != 2 {
		t.Errorf("%d messages are stored of two jobs", n)
	}
}
