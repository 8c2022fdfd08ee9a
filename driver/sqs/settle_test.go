package sqs

import (
	"errors"
	"net/http"
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
