package sqs

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// A server that does not know the newer name of the attributes that a receive asks for
// is found out at the first answer, gets the jobs back, and is named.
func TestServerWithoutSystemAttributes(t *testing.T) {
	for _, missing := range []string{"SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp"} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			f.without = missing
			d := f.open(t)
			defer closeAll(t, d)
			put(t, d, job("early", time.Hour+time.Millisecond), job("now", 0))
			c := consume(t, d, 30*time.Second)
			_, err := c.Receive(t.Context(), 10)
			if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), missing) {
				t.Errorf("without %s: Receive: %v", missing, err)
			}
			if visible := f.queues["q"].messages[1].visible; visible.After(time.Now()) {
				t.Errorf("without %s: a job is hidden until %s", missing, visible)
			}
			for _, r := range d.Import(t.Context(), "q", []*driver.Entry{importEntry("dead", driver.StateDead)}) {
				if r.Err != nil {
					t.Fatal(r.Err)
				}
			}
			if _, _, err := d.DeadLetters(t.Context(), "q", "", 1); !errors.Is(err, driver.ErrUnsupported) {
				t.Errorf("without %s: DeadLetters: %v", missing, err)
			}
		})
	}
}

// A server that stores no message attributes, or damages what it stores, is not
// believed; nor is one whose answer to a batch has other IDs.
func TestAnswersThatAreNone(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		entry := func(in *fakeRequest, id, body, attributes string) map[string]string {
			row := map[string]string{"MessageId": "m", "MD5OfMessageBody": body, "MD5OfMessageAttributes": attributes, "Id": id}
			maps.DeleteFunc(row, func(_, value string) bool { return value == "" })
			return row
		}
		for what, row := range map[string]struct {
			answer func(in *fakeRequest, e fakeEntry) any
			want   error
		}{
			"no attributes":       {func(in *fakeRequest, e fakeEntry) any { return entry(in, e.ID, sum(e.MessageBody), "") }, driver.ErrUnsupported},
			"a damaged attribute": {func(in *fakeRequest, e fakeEntry) any { return entry(in, e.ID, sum(e.MessageBody), sum("other")) }, driver.ErrBroker},
			"a damaged body": {func(in *fakeRequest, e fakeEntry) any {
				return entry(in, e.ID, sum("other"), sumAttributes(e.MessageAttributes))
			}, driver.ErrBroker},
			"another ID": {func(in *fakeRequest, e fakeEntry) any {
				return entry(in, "x"+e.ID, sum(e.MessageBody), sumAttributes(e.MessageAttributes))
			}, driver.ErrBroker},
			"always the first ID": {func(in *fakeRequest, e fakeEntry) any {
				return entry(in, "1", sum(in.Entries[1].MessageBody), sumAttributes(in.Entries[1].MessageAttributes))
			}, driver.ErrBroker},
			"no ID": {func(in *fakeRequest, e fakeEntry) any {
				return entry(in, "", sum(e.MessageBody), sumAttributes(e.MessageAttributes))
			}, driver.ErrBroker},
			"an ID below the digits": {func(in *fakeRequest, e fakeEntry) any {
				return entry(in, "!", sum(e.MessageBody), sumAttributes(e.MessageAttributes))
			}, driver.ErrBroker},
		} {
			f.intercept = func(action string, in *fakeRequest) (int, any, bool) {
				if action != "SendMessageBatch" {
					return 0, nil, false
				}
				var rows []any
				for _, e := range in.Entries {
					rows = append(rows, row.answer(in, e))
				}
				return http.StatusOK, map[string]any{"Successful": rows}, true
			}
			err := d.Enqueue(t.Context(), "q", []*driver.Message{job("a", 0), job("b", 0)})[0].Err
			if !errors.Is(err, row.want) || driver.FateOf(err) != driver.FateUnknown {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// One damaged message of an answer does not keep the others, and comes again.
func TestDamagedMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		put(t, d, job("a", 0), job("b", 0), job("c", 0))
		f.damage = "m2"
		c := consume(t, d, 30*time.Second)
		var ids []string
		for len(ids) < 3 {
			got, err := c.Receive(t.Context(), 10)
			if err != nil && !errors.Is(err, driver.ErrBroker) {
				t.Fatal(err)
			}
			for _, g := range got {
				ids = append(ids, g.ID)
				settle(t, c, driver.Settlement{Delivery: g, Outcome: driver.OutcomeDone})
			}
			if len(ids) == 2 {
				f.damage = ""
			}
		}
		if !slices.Equal(ids, []string{"a", "c", "b"}) {
			t.Errorf("received %q", ids)
		}
	})
}

// Answers of a server that is none do not end the process.
func TestAnswersWithoutURL(t *testing.T) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	d.queues.Delete("q")
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusOK, map[string]any{}, action == "GetQueueUrl"
	}
	if err := d.Declare(t.Context(), "q"); !errors.Is(err, driver.ErrBroker) {
		t.Errorf("Declare: %v", err)
	}
	if _, err := d.Depth(t.Context(), "q"); !errors.Is(err, driver.ErrBroker) {
		t.Errorf("Depth: %v", err)
	}
	f.intercept = func(action string, _ *fakeRequest) (int, any, bool) {
		return http.StatusOK, map[string]any{"NextToken": "again", "QueueUrls": []string{"http://fake/1/q", "", "nonsense"}}, action == "ListQueues"
	}
	if _, err := d.ListQueues(t.Context()); !errors.Is(err, driver.ErrBroker) {
		t.Errorf("ListQueues: %v", err)
	}
}
