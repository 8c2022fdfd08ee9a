package sqs

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// full is a body that fills a message of this attribute, beside others, up to 1 MiB.
func full(attributes map[string]string) string {
	n := 1 << 20
	for name, value := range attributes {
		n -= len(name) + len("String") + len(value)
	}
	return strings.Repeat("x", n)
}

// A job of another producer that is as large as SQS takes: a retry with its history does
// not fit, at once and for it alone; as a dead letter it fits when it is stripped, and
// can be read and redriven.
func TestLargestForeignJob(t *testing.T) {
	for name, attributes := range map[string]map[string]string{
		"shortest attribute": {attributeName: `{"v":1,"kind":"k"}`},
		"an ID":              {attributeName: `{"v":1,"id":"its-own","kind":"k","at":1}`},
		"headers":            {attributeName: `{"v":1,"kind":"k","headers":{"a":"` + strings.Repeat("h", 5000) + `"}}`},
		"ten attributes": {attributeName: `{"v":1,"kind":"k"}`, "a": "1", "b": "2", "c": "3", "d": "4", "e": "5", "f": "6",
			"g": "7", "h": "8", "i": "9"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { largestForeignJob(t, attributes) })
		})
	}
}

func largestForeignJob(t *testing.T, attributes map[string]string) {
	f := newFake()
	d := f.open(t)
	defer closeAll(t, d)
	body := full(attributes)
	f.put(t, "q", body, attributes)
	c := consume(t, d, 30*time.Second)
	large := receive(t, c)
	id := large.ID
	put(t, d, job("done", 0), job("failed", 0))
	others := []*driver.Delivery{receive(t, c), receive(t, c)}

	history := strings.Repeat("e", 2048)
	errs := c.Settle(t.Context(), []driver.Settlement{
		{Delivery: others[0], Outcome: driver.OutcomeDone},
		{Delivery: large, Outcome: driver.OutcomeRetry, Failures: 1, Error: history},
		{Delivery: others[1], Outcome: driver.OutcomeRetry, Failures: 1, Error: history, Delay: time.Hour},
	})
	if len(errs) != 3 || errs[0] != nil || errs[2] != nil || !errors.Is(errs[1], driver.ErrTooLarge) || driver.FateOf(errs[1]) != driver.FateNotStored {
		t.Fatalf("a retry of the largest job, between others: %v", errs)
	}
	s := driver.Settlement{Delivery: large, Outcome: driver.OutcomeDead, Reason: driver.ReasonTooLarge, Error: history, Failures: 1, Strip: true}
	settle(t, c, s)
	page, _, err := d.DeadLetters(t.Context(), "q", "", 10)
	if err != nil || len(page) != 1 {
		t.Fatalf("dead letters: %v, %v", page, err)
	}
	if got := page[0]; got.Reason != driver.ReasonTooLarge || got.Kind != "k" || string(got.Body) != body || got.ContentType != "application/json" {
		t.Errorf("the dead letter has reason %q, kind %q, type %q and a body of %d bytes", got.Reason, got.Kind, got.ContentType, len(got.Body))
	}
	if n, err := d.Redrive(t.Context(), "q", driver.Selection{IDs: []string{page[0].ID}}); n != 1 || err != nil {
		t.Fatalf("Redrive = %d, %v", n, err)
	}
	if got := receive(t, c); string(got.Body) != body || got.Failures != 0 {
		t.Errorf("redriven with a body of %d bytes and %d failures", len(got.Body), got.Failures)
	} else if strings.HasPrefix(id, "its") && got.ID != id {
		t.Errorf("the job %s is now %s", id, got.ID)
	}
}

// Giving back the largest job works as for any other, and what is not due is held back.
func TestLargestForeignJobGivenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		attributes := map[string]string{attributeName: `{"v":1,"kind":"k"}`}
		f.put(t, "q", full(attributes), attributes)
		for range 8 {
			got := receive(t, c)
			if got.Redeliveries != 0 {
				t.Fatalf("released, it counts %d lost holders", got.Redeliveries)
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRelease})
		}
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})

		attributes = map[string]string{attributeName: `{"v":1,"kind":"k","delay":3600000}`}
		f.put(t, "q", full(attributes), attributes)
		begin := time.Now()
		got := receive(t, c)
		if late := time.Since(begin) - time.Hour; late < 0 || late > 4*time.Second {
			t.Errorf("a delay of an hour ended %s late", late)
		}
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	})
}

// What is no job and as large as SQS takes, with as many attributes, becomes a dead letter.
func TestLargestForeignEntry(t *testing.T) {
	both(t, func(t *testing.T, f *fakeSQS, open func() testDriver) {
		d := open()
		defer closeAll(t, d)
		work := "q"
		if f.queues[work] == nil {
			work = "q.fifo"
		}
		many := make(map[string]string)
		for i := range 10 {
			many[fmt.Sprintf("attribute-%d", i)] = strings.Repeat("a", 100_000)
		}
		for _, attributes := range []map[string]string{nil, {attributeName: "no JSON"}, many} {
			f.put(t, work, full(attributes), attributes)
		}
		c := consume(t, d, 30*time.Second)
		put(t, d, job("job", 0))
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
		page, _, err := d.DeadLetters(t.Context(), "q", "", 10)
		if err != nil || len(page) != 3 {
			t.Fatalf("%d dead letters, %v", len(page), err)
		}
		for _, l := range page {
			if l.Reason != driver.ReasonUnreadable || len(l.Body) == 0 {
				t.Errorf("a dead letter with reason %q and a body of %d bytes", l.Reason, len(l.Body))
			}
		}
	})
}
