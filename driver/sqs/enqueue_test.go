package sqs

import (
	"errors"
	"net/http"
	"testing"

	"github.com/batch-go/batch/driver"
)

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
			"Successful": []any{map[string]string{"Id": "2", "MessageId": "m", "MD5OfMessageBody": sum(in.Entries[2].MessageBody),
				"MD5OfMessageAttributes": sumAttributes(in.Entries[2].MessageAttributes)}},
			"Failed": []any{refuseEntry("0", "InvalidMessageContents"), refuseEntry("1", "InternalError")},
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

// Nothing is tried twice: a throttled request is one request.
func TestNoRetries(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusBadRequest, map[string]string{"__type": "com.amazonaws.sqs#RequestThrottled", "message": "slow down"}, action == "SendMessageBatch"
	}
	results := d.Enqueue(t.Context(), "q", []*driver.Message{job("a", 0), job("b", 0)})
	for _, r := range results {
		if !errors.Is(r.Err, driver.ErrUnavailable) || driver.FateOf(r.Err) != driver.FateNotStored {
			t.Errorf("throttled: %v", r.Err)
		}
	}
	if n := f.count("SendMessageBatch"); len(results) != 2 || n != 1 {
		t.Errorf("%d results by %d requests", len(results), n)
	}
}
