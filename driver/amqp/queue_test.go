package amqp

import (
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// Purge removes what waits, and only that; the consumer goes on.
func TestPurge(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		c := consume(t, d, q, 1)
		enqueue(t, d, q, message("dead"))
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent})
		enqueue(t, d, q, message("running"))
		held := receive(t, c)
		enqueue(t, d, q, message("1"), message("2", delay(time.Hour)), message("3"), message("4"))
		if n, err := o.open(t).Purge(testContext(t), q); n != 3 || err != nil {
			t.Errorf("purge of three jobs: %d, %v", n, err)
		}
		if n, err := d.Purge(testContext(t), q); n != 0 || err != nil {
			t.Errorf("purge of none: %d, %v", n, err)
		}
		settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeRelease})
		if held = receive(t, c); held.ID != "running" {
			t.Errorf("received %s", held.ID)
		}
		enqueue(t, d, q, message("5"))
		settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone})
		if held = receive(t, c); held.ID != "5" {
			t.Errorf("received %s", held.ID)
		}
		stop(t, c) // what is delayed leaves the mover's hands
		if got := takeRaw(t, o.url, newNames(q).hop); got.MessageId != "2" {
			t.Errorf("delayed is %s", got.MessageId)
		}
		page, _, err := d.DeadLetters(testContext(t), q, "", 10)
		if err != nil || len(page) != 1 || page[0].ID != "dead" {
			t.Errorf("the dead letters are %+v (%v)", page, err)
		}
	})
}

// While delayed jobs wait for a consumer, it is not known how many are due; and how
// long a job has been waiting is not known, unless none does.
func TestDepthTellsWhatIsDue(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		depth := func() driver.Depth {
			t.Helper()
			got, err := d.Depth(testContext(t), q)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		want := driver.Depth{Running: driver.UnknownCount}
		if got := depth(); got != want {
			t.Errorf("an empty queue: %+v", got)
		}
		enqueue(t, d, q, message("a", delay(time.Millisecond)))
		want.Scheduled, want.Due = 1, driver.UnknownCount
		if got := depth(); got != want {
			t.Errorf("with a delayed job in the hop queue: %+v", got)
		}
		c := consume(t, d, q, 1)
		held := receive(t, c)
		enqueue(t, d, q, message("b"))
		want.Scheduled, want.Due, want.Waiting, want.Age = 0, 0, 1, driver.UnknownAge
		if got := depth(); got != want {
			t.Errorf("with a job that waits: %+v", got)
		}
		settle(t, c, driver.Settlement{Delivery: held, Outcome: driver.OutcomeDone})
	})
}
