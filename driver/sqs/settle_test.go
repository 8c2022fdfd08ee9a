package sqs

import (
	"errors"
	"net/http"
	"testing"
	"time"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
)

func clientOf(o awssqs.Options) *awssqs.Client { return awssqs.New(o) }

func refuseEntry(id, code string) map[string]any {
	return map[string]any{"Id": id, "Code": code, "Message": code, "SenderFault": true}
}

// An entry that SQS refuses, one that it fails on and one that it does not
// mention, each with its own error, beside one that was stored.
func TestEnqueuePartly(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.intercept = func(action string, in *fakeRequest) (int, any, bool) {
		if action != "SendMessageBatch" {
			return 0, nil, false
		}
		return http.StatusOK, map[string]any{
			"Successful": []any{map[string]string{"Id": "2", "MessageId": "m", "MD5OfMessageBody": sum(in.Entries[2].MessageBody)}},
			"Failed":     []any{refuseEntry("0", "InvalidMessageContents"), refuseEntry("1", "InternalError")},
		}, true
	}
	got := d.Enqueue(t.Context(), "q", []*driver.Message{job("a", 0), job("b", 0), job("c", 0), job("d", 0)})
	for i, want := range []struct {
		kind error
		fate driver.Fate
	}{{driver.ErrBroker, driver.FateNotStored}, {driver.ErrUnavailable, driver.FateUnknown}, {nil, 0}, {driver.ErrBroker, driver.FateUnknown}} {
		if err := got[i].Err; !errors.Is(err, want.kind) || err != nil && driver.FateOf(err) != want.fate {
			t.Errorf("result %d: %v", i, err)
		}
	}
}

// A queue whose messages must be smaller than usual refuses by itself, before
// anything is sent, and by the whole message.
func TestEnqueueTooLargeForQueue(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.queues["q"].attributes["MaximumMessageSize"] = "200000"
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	large, small := job("large", 0), job("small", 0)
	large.Body = make([]byte, 160_000) // as base64 over 200 000
	got := d.Enqueue(t.Context(), "q", []*driver.Message{large, small})
	if !errors.Is(got[0].Err, driver.ErrTooLarge) || driver.FateOf(got[0].Err) != driver.FateNotStored || got[1].Err != nil {
		t.Errorf("results %v, %v", got[0].Err, got[1].Err)
	}
}

// A batch whose messages are large is sent in several requests.
func TestEnqueueSplits(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	var all []*driver.Message
	for range 4 {
		m := job("large", 0)
		m.Body = make([]byte, 300_000) // 400 000 as base64
		all = append(all, m)
	}
	put(t, d, all...)
	if n := f.count("SendMessageBatch"); n != 2 {
		t.Errorf("%d requests for four messages of 400 000 bytes", n)
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
	s := []driver.Settlement{{Delivery: got, Outcome: driver.Retry, Delay: time.Hour, Failures: 1}}
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
		s = append(s, driver.Settlement{Delivery: receive(t, c), Outcome: driver.Done})
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
