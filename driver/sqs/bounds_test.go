package sqs

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// What another producer says is not believed unseen: a number out of bounds, or an ID
// that is none, makes a dead letter whose error names it.
func TestBounds(t *testing.T) {
	for field, want := range map[string]string{
		`"failures":9223372036854775807`:     "failures",
		`"failures":-1`:                      "failures",
		`"deliveries":9223372036854775807`:   "deliveries",
		`"lost":9223372036854775807`:         "lost",
		`"bounces":-9223372036854775808`:     "bounces",
		`"attempts":9223372036854775807`:     "attempts",
		`"timeout":9223372036854775807`:      "timeout",
		`"timeout":-5`:                       "timeout",
		`"delay":9223372036854775807`:        "delay",
		`"delay":-1`:                         "delay",
		`"due":9223372036854775807`:          "due",
		`"expires":9223372036854775807`:      "expires",
		`"at":-9223372036854775808`:          "at",
		`"bounced":9223372036854775807`:      "bounced",
		`"died":9223372036854775807`:         "died",
		`"id":"two\nlines"`:                  "id",
		`"id":"` + strings.Repeat("x", 1000): "id",
		`"type":"text/plain\r\nX: y"`:        "type",
		`"failures":1e30`:                    "not readable",
	} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			d := f.open(t)
			defer closeAll(t, d)
			if strings.HasSuffix(field, "x") {
				field += `"`
			}
			f.put(t, "q", "body", map[string]string{attributeName: `{"v":1,"kind":"k",` + field + `}`})
			c := consume(t, d, 30*time.Second)
			put(t, d, job("good", 0))
			if got := receive(t, c); got.ID != "good" {
				t.Fatalf("%s: received %+v", field, got)
			}
			page, _, err := d.DeadLetters(t.Context(), "q", "", 10)
			if err != nil || len(page) != 1 {
				t.Fatalf("%s: %d dead letters, %v", field, len(page), err)
			}
			l := page[0]
			if l.Reason != driver.ReasonUnreadable || !strings.Contains(l.LastError, want) || string(l.Body) != "body" || strings.Contains(l.ID, "\n") {
				t.Errorf("%s: the dead letter is %+v", field, l)
			}
			if _, err := json.Marshal(page); err != nil {
				t.Errorf("%s: the dead letter as JSON: %v", field, err)
			}
		})
	}
}

// A server's absurd counts harm nothing.
func TestAbsurdCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFake()
		d := f.open(t)
		defer closeAll(t, d)
		c := consume(t, d, 30*time.Second)
		put(t, d, job("a", 0))
		f.mu.Lock()
		f.queues["q"].messages[0].received = 1<<63 - 2
		f.mu.Unlock()
		got := receive(t, c)
		if got.Deliveries != maxCount || got.Redeliveries != maxCount-1 {
			t.Errorf("Deliveries %d, Redeliveries %d", got.Deliveries, got.Redeliveries)
		}
		for _, attribute := range []string{"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"} {
			for value, want := range map[string]int64{"-5": driver.UnknownCount, "many": driver.UnknownCount, "9223372036854775807": maxCount, "99999999999999999999": driver.UnknownCount} {
				f.odd = map[string]string{attribute: value}
				depth, err := d.Depth(t.Context(), "q")
				got := map[string]int64{"ApproximateNumberOfMessages": depth.Waiting, "ApproximateNumberOfMessagesNotVisible": depth.Running, "ApproximateNumberOfMessagesDelayed": depth.Scheduled}[attribute]
				if err != nil || got != want || depth.Dead != want && depth.Dead != 0 {
					t.Errorf("%s %s: %+v, %v", attribute, value, depth, err)
				}
			}
		}
	})
}
