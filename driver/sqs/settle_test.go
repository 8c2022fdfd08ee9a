package sqs

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A retry of more than SQS can hold back, of fractions of a second, and at once.
func TestRetryDelays(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond, 15 * time.Minute, 15*time.Minute + time.Millisecond, 26 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			d := f.open(t)
			defer closeAll(t, d)
			put(t, d, job("job", 0))
			c := consume(t, d, 30*time.Second)
			begin := time.Now()
			settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeRetry, Delay: delay, Failures: 3, Error: "\x00 \uFFFE <&>"})
			got := receive(t, c)
			if late := time.Since(begin) - delay; late < 0 || late > 10*time.Millisecond {
				t.Errorf("delay %s: the retry came %s after its time", delay, late)
			}
			if got.Failures != 3 || got.LastError != "\x00 \uFFFE <&>" || got.Deliveries != 2 || got.Redeliveries != 0 {
				t.Errorf("delay %s: delivered with Failures %d, LastError %q, Deliveries %d, Redeliveries %d", delay, got.Failures, got.LastError, got.Deliveries, got.Redeliveries)
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		})
	}
}

// A retry is stored before the old message is deleted. If storing fails nothing
// is deleted; if deleting fails, the next try does not store again.
func TestRetryStoresFirst(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	put(t, d, job("job", 0))
	c := consume(t, d, 30*time.Second)
	got := receive(t, c)
	failing := ""
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusInternalServerError, map[string]string{"__type": "com.amazonaws.sqs#InternalFailure"}, action == failing
	}
	s := []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1}}
	before := f.count("SendMessageBatch")
	for _, step := range []struct {
		failing                  string
		sends, deletes, messages int
	}{{"SendMessageBatch", 1, 0, 1}, {"DeleteMessageBatch", 2, 1, 2}, {"", 2, 2, 1}} {
		failing = step.failing
		errs := c.Settle(t.Context(), s)
		if (errs == nil) != (step.failing == "") || errs != nil && driver.FateOf(errs[0]) != driver.FateUnknown {
			t.Errorf("with %s failing: %v", step.failing, errs)
		}
		if n := f.count("SendMessageBatch") - before; n != step.sends {
			t.Errorf("with %s failing: stored %d times", step.failing, n)
		}
		if n := f.count("DeleteMessageBatch"); n != step.deletes {
			t.Errorf("with %s failing: deleted %d times", step.failing, n)
		}
		if n := len(f.queues["q"].messages); n != step.messages {
			t.Errorf("with %s failing: %d messages", step.failing, n)
		}
	}
	if errs := c.Settle(t.Context(), s); errs == nil || !errors.Is(errs[0], driver.ErrLeaseLost) {
		t.Errorf("settled again: %v", errs)
	}
}

// Of many deliveries each has its own error, whatever requests they went in.
func TestSettlePartly(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	c := consume(t, d, 30*time.Second)
	var s []driver.Settlement
	for range 25 {
		put(t, d, job("job", 0))
		s = append(s, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
	}
	bad := map[string]bool{s[3].Delivery.Receipt.(*receipt).handle: true, s[17].Delivery.Receipt.(*receipt).handle: true}
	f.intercept = func(action string, in *fakeRequest) (int, any, bool) {
		if action != "DeleteMessageBatch" {
			return 0, nil, false
		}
		done, failed := []any{}, []any{}
		for _, e := range in.Entries {
			if bad[e.ReceiptHandle] {
				failed = append(failed, refuseEntry(e.ID, "ReceiptHandleIsInvalid"))
			} else {
				done = append(done, map[string]string{"Id": e.ID})
			}
		}
		return http.StatusOK, map[string]any{"Successful": done, "Failed": failed}, true
	}
	errs := c.Settle(t.Context(), s)
	if n := f.count("DeleteMessageBatch"); n != 3 || len(errs) != 25 {
		t.Fatalf("%d requests and %d errors for 25 deliveries", n, len(errs))
	}
	for i, err := range errs {
		if (i == 3 || i == 17) != errors.Is(err, driver.ErrLeaseLost) || i != 3 && i != 17 && err != nil {
			t.Errorf("delivery %d: %v", i, err)
		}
	}
}

// What is done is deleted while others of the call wait to be stored.
func TestDoneWaitsForNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		put(t, d, job("retry", 0), job("done", 0))
		c := consume(t, d, 30*time.Second)
		s := []driver.Settlement{{Delivery: receive(t, c), Outcome: driver.OutcomeRetry}, {Delivery: receive(t, c), Outcome: driver.OutcomeDone}}
		deleted, late := make(chan struct{}), false
		f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
			switch action {
			case "DeleteMessageBatch":
				select {
				case <-deleted:
				default:
					close(deleted)
				}
			case "SendMessageBatch":
				select {
				case <-deleted:
				case <-time.After(10 * time.Second):
					late = true
				}
			}
			return 0, nil, false
		}
		if errs := c.Settle(t.Context(), s); errs != nil || late {
			t.Errorf("what is done waited: %t, %v", late, errs)
		}
	})
}

// A release keeps the whole history, and counts no lost holder, however often and in
// whichever process it is; what was lost before it stays counted. A retry begins anew.
func TestReleaseKeepsHistory(t *testing.T) {
	both(t, func(t *testing.T, _ *fakeSQS, open func() testDriver) {
		d, other := open(), open()
		defer closeAll(t, d)
		defer closeAll(t, other)
		since := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
		put(t, d, job("job", 0))
		c, elsewhere := consume(t, d, 30*time.Second), consume(t, other, 30*time.Second)
		check := func(got *driver.Delivery, bounces, deliveries, redeliveries int) {
			t.Helper()
			if got.Failures != 2 || got.LastError != "no" || got.Bounces != bounces || !got.BouncedSince.Equal(since) && bounces > 0 ||
				bounces == 0 && !got.BouncedSince.IsZero() || got.Deliveries != deliveries || got.Redeliveries != redeliveries {
				t.Errorf("Failures %d, LastError %q, Bounces %d since %s, Deliveries %d, Redeliveries %d; want 2, no, %d since %s, %d, %d",
					got.Failures, got.LastError, got.Bounces, got.BouncedSince, got.Deliveries, got.Redeliveries, bounces, since, deliveries, redeliveries)
			}
		}
		retry := driver.Settlement{Outcome: driver.OutcomeRetry, Delay: time.Second, Failures: 2, Error: "no", Bounces: 3, BouncedSince: since}
		retry.Delivery = receive(t, c)
		settle(t, c, retry)
		got := receive(t, c)
		check(got, 3, 2, 0)
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRelease})
		got = receive(t, elsewhere)
		check(got, 3, 3, 0)
		time.Sleep(32 * time.Second) // its holder vanished
		got = receive(t, c)
		check(got, 3, 4, 1)
		for deliveries := 5; deliveries < 20; deliveries++ {
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRelease})
			got = receive(t, c)
			check(got, 3, deliveries, 1)
		}
		time.Sleep(32 * time.Second)
		got = receive(t, elsewhere)
		check(got, 3, 20, 2)
		retry.Delivery, retry.Bounces, retry.BouncedSince = got, 0, time.Time{}
		settle(t, elsewhere, retry)
		got = receive(t, c)
		check(got, 0, 21, 0)
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	})
}

// A release is stored before the old message is deleted, like a retry, and a try
// after a failed one stores nothing twice.
func TestReleaseStoresFirst(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	put(t, d, job("job", 0))
	c := consume(t, d, 30*time.Second)
	s := []driver.Settlement{{Delivery: receive(t, c), Outcome: driver.OutcomeRelease}}
	failing := ""
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusInternalServerError, map[string]string{"__type": "com.amazonaws.sqs#InternalFailure"}, action == failing
	}
	for _, step := range []struct {
		failing  string
		messages int
	}{{"SendMessageBatch", 1}, {"DeleteMessageBatch", 2}, {"", 1}} {
		failing = step.failing
		if errs := c.Settle(t.Context(), s); (errs == nil) != (failing == "") {
			t.Errorf("with %s failing: %v", failing, errs)
		}
		if n := len(f.queues["q"].messages); n != step.messages {
			t.Errorf("with %s failing: %d messages, want %d", failing, n, step.messages)
		}
	}
	got := receive(t, c)
	if got.Deliveries != 2 || got.Redeliveries != 0 {
		t.Errorf("released with Deliveries %d, Redeliveries %d", got.Deliveries, got.Redeliveries)
	}
}

// Where only the queue for dead letters was deleted, a delivery is not lost, and the
// queue comes back, as soon as SQS makes one of that name; where the jobs' own was, it
// is.
func TestSettleWithoutCompanion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { settleWithoutCompanion(t) })
}

func settleWithoutCompanion(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	put(t, d, job("job", 0))
	c := consume(t, d, 2*time.Minute)
	s := []driver.Settlement{{Delivery: receive(t, c), Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}}
	delete(f.queues, "q-dead")
	f.deleted["q-dead"] = time.Now()
	for _, hint := range []string{"made again", "less than 60 seconds ago"} {
		errs := c.Settle(t.Context(), s)
		if len(errs) != 1 || !errors.Is(errs[0], driver.ErrUnavailable) || errors.Is(errs[0], driver.ErrLeaseLost) ||
			driver.FateOf(errs[0]) != driver.FateNotStored || !strings.Contains(errs[0].Error(), hint) {
			t.Errorf("without the queue for dead letters: %v", errs)
		}
	}
	time.Sleep(time.Minute)
	if errs := c.Settle(t.Context(), s); errs != nil {
		t.Errorf("a minute later: %v", errs)
	}
	if n := len(f.queues["q-dead"].messages); n != 1 {
		t.Errorf("there are %d dead letters", n)
	}
	put(t, d, job("job", 0))
	s[0].Delivery = receive(t, c)
	delete(f.queues, "q")
	for range 2 {
		if errs := c.Settle(t.Context(), s); len(errs) != 1 || !errors.Is(errs[0], driver.ErrLeaseLost) {
			t.Errorf("with the queue deleted: %v", errs)
		}
	}
}
