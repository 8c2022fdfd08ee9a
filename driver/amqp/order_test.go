package amqp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

// letters is a queue of jobs a, b and so on, in one order.
func letters(t testing.TB, d driver.Driver, q string, names string) {
	t.Helper()
	for _, name := range names {
		enqueue(t, d, q, message(string(name)))
	}
}

// order is in which order a consumer gets what a queue has, which it ends.
func order(t testing.TB, d driver.Driver, q string, n int) string {
	t.Helper()
	c := consume(t, d, q, 1)
	var all strings.Builder
	for range n {
		got := receive(t, c)
		all.WriteString(got.ID)
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	}
	if err := c.Close(testContext(t)); err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// The package comment says what place a job has that comes back.
func TestOrderOfJobsThatComeBack(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		keeper := o.open(t)
		v, _ := parseVersion(keeper.info.Version)
		plain := keeper.config.shape == shapePlain
		check := func(what, got, first, last string, keeps bool) {
			t.Helper()
			if want := map[bool]string{true: first, false: last}[keeps]; got != want {
				t.Errorf("%s: the order is %s, want %s", what, got, want)
			}
		}

		q := queue(t, keeper)
		letters(t, keeper, q, "abcdef")
		holder := o.open(t)
		take(t, consume(t, holder, q, 3), 3)
		vanish(t, holder)
		if plain {
			check("a lost holder", order(t, keeper, q, 6), "abcdef", "", true)
		}

		q = queue(t, keeper)
		letters(t, keeper, q, "abcdef")
		c := consume(t, keeper, q, 3)
		held := take(t, c, 3)
		stop(t, c)
		c.Abandon(testContext(t), held)
		if plain {
			check("given up", order(t, keeper, q, 6), "abcdef", "defabc", !v.before(oldestPriority))
		}

		q = queue(t, keeper)
		letters(t, keeper, q, "abcdef")
		c = consume(t, keeper, q, 3)
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeDone})
		for s := c.(*consumer).session; ; {
			s.mu.Lock()
			n := s.unread.size
			s.mu.Unlock()
			if n >= 3 { // one more was pushed when the first was done
				break
			}
		}
		stop(t, c)
		got := order(t, keeper, q, 5)
		if plain && !v.before(oldestPriority) {
			check("not received", got, "bcdef", "", true)
		} else if !strings.HasPrefix(got, "ef") {
			t.Errorf("not received: the order is %s, want the others first", got)
		}

		q = queue(t, keeper)
		letters(t, keeper, q, "abc")
		c = consume(t, keeper, q, 1)
		settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeRelease})
		check("released", order(t, keeper, q, 3), "abc", "bca", plain && !v.before(oldestPriority))
	})
}

// To give a job back, received or not, is not to lose it, however often that is.
func TestGivingBackIsNotLosing(t *testing.T) {
	t.Parallel()
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		q := queue(t, d)
		letters(t, d, q, "ab")
		const rounds = 25
		for range rounds {
			c := consume(t, d, q, 2)
			settle(t, c, driver.Settlement{Delivery: receive(t, c), Outcome: driver.OutcomeRelease})
			if err := c.Close(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}
		c := consume(t, d, q, 2)
		for _, got := range take(t, c, 2) {
			if got.Redeliveries != 0 {
				t.Errorf("%s has lost %d holders after %d releases", got.ID, got.Redeliveries, rounds)
			}
			settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
		}
	})
}

// A job whose holder was lost in a queue with priorities is behind those of its level,
// and before those of a lower one.
func TestOrderOfLostJobsWithPriorities(t *testing.T) {
	eachShape(t, func(t *testing.T, o opener) {
		d := o.open(t)
		if d.config.shape == shapePlain {
			return
		}
		q := queue(t, d)
		at := func(level driver.Level) func(*driver.Message) { return func(m *driver.Message) { m.Level = level } }
		enqueue(t, d, q, message("n1"))
		holder := o.open(t)
		receive(t, consume(t, holder, q, 1))
		enqueue(t, d, q, message("n2"), message("l1", at(driver.Low)))
		vanish(t, holder)
		var got []string
		c := consume(t, d, q, 1)
		for range 3 {
			next := receive(t, c)
			got = append(got, next.ID)
			settle(t, c, driver.Settlement{Delivery: next, Outcome: driver.OutcomeDone})
		}
		if fmt.Sprint(got) != "[n2 n1 l1]" {
			t.Errorf("the order is %v", got)
		}
	})
}
