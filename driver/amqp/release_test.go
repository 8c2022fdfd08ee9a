package amqp

import (
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// counts are those of a job's history.
type counts struct{ failures, bounces, deliveries, redeliveries int }

// checkHistory compares the history of a delivery.
func checkHistory(t testing.TB, when string, got *driver.Delivery, want counts, since time.Time) {
	t.Helper()
	have := counts{got.Failures, got.Bounces, got.Deliveries, got.Redeliveries}
	if have != want || !got.BouncedSince.Equal(since) {
		t.Errorf("%s: %+v, bounced since %s; want %+v, %s", when, have, got.BouncedSince, want, since)
	}
}

// A lost holder counts as one, and a release neither counts nor resets that; what
// the last retry stored stays through both.
func TestReleaseKeepsTheHistory(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		first, second := o.open(t), o.open(t)
		q := queue(t, second)
		enqueue(t, first, q, message("a"))
		c := consume(t, first, q, 1)
		got := receive(t, c)
		checkHistory(t, "at first", got, counts{deliveries: 1}, time.Time{})
		since := time.UnixMilli(time.Now().Add(-time.Hour).UnixMilli()).UTC()
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRelease})
		got = receive(t, c)
		checkHistory(t, "released before anything", got, counts{deliveries: 2}, time.Time{})
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Failures: 3, Error: "e", Bounces: 2, BouncedSince: since})
		checkHistory(t, "retried", receive(t, c), counts{3, 2, 3, 0}, since)
		vanish(t, first)

		c = consume(t, second, q, 1)
		for n := range 3 {
			got = receive(t, c)
			checkHistory(t, "after a lost holder and some releases", got, counts{3, 2, 4 + n, 1}, since)
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRelease})
		}
		got = receive(t, c)
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeRetry, Delay: time.Millisecond, Failures: 4, Error: "f", Bounces: 5, BouncedSince: since})
		got = receive(t, c)
		checkHistory(t, "retried with a delay", got, counts{4, 5, 8, 0}, since)
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDead, Reason: driver.ReasonUnknownKind, Failures: 4, Bounces: 6, BouncedSince: since})
		page, _, err := second.DeadLetters(testContext(t), q, "", 10)
		if err != nil || len(page) != 1 {
			t.Fatal(page, err)
		}
		if dead := page[0]; dead.Bounces != 6 || !dead.BouncedSince.Equal(since) || dead.Failures != 4 || dead.Deliveries != 8 {
			t.Errorf("the dead letter is %+v", dead)
		}
		if n, err := second.Redrive(testContext(t), q, driver.Selection{All: true}); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		checkHistory(t, "redriven", receive(t, c), counts{deliveries: 1}, time.Time{})
	})
}
