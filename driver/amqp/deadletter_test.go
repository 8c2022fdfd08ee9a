package amqp

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// bury stores dead letters.
func bury(t testing.TB, d *base, q string, n int) {
	t.Helper()
	for n > 0 {
		var entries []*driver.Entry
		for range min(n, 500) {
			entries = append(entries, &driver.Entry{Message: *message(fmt.Sprint(n)), State: driver.StateDead, Reason: driver.ReasonPermanent})
			n--
		}
		for _, r := range d.Import(testContext(t), q, entries) {
			if r.Err != nil {
				t.Fatal(r.Err)
			}
		}
	}
}

// A call on the dead letters whose ctx ends in the middle loses and doubles nothing, and
// leaves the others, here and in other processes, and Close as they were.
func TestDeadLetterCallsThatEndInTheMiddle(t *testing.T) {
	t.Parallel()
	const letters = 2*deadPrefetch + 500 // more than a broker hands out by itself
	d, other := open(t).base, open(t).base
	for _, what := range []string{"redrive", "discard", "list"} {
		t.Run(what, func(t *testing.T) {
			q := queue(t, d)
			bury(t, d, q, letters)
			within := testContext(t)
			ctx, cancel := context.WithCancel(within)
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				var err error
				switch what {
				case "redrive":
					_, err = d.Redrive(ctx, q, driver.Selection{All: true})
				case "discard":
					_, err = d.Discard(ctx, q, driver.Selection{All: true})
				case "list":
					_, _, err = d.DeadLetters(ctx, q, "", 1)
				}
				ended <- err
			}()
			for depth := (driver.Depth{Dead: letters}); depth.Dead == letters || what == "redrive" && depth.Waiting == 0; {
				var err error
				if depth, err = other.Depth(within, q); err != nil {
					t.Fatal(err)
				}
			}
			cancel()
			if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("%s that was cut short: %v", what, err)
			}
			for _, b := range []*base{d, other} {
				if _, _, err := b.DeadLetters(testContext(t), q, "", 1); err != nil {
					t.Fatalf("the next call: %v", err)
				}
			}
			depth, err := d.Depth(testContext(t), q)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", depth)
			if what == "discard" {
				depth.Waiting = letters - depth.Dead
			}
			if depth.Waiting+depth.Dead != letters {
				t.Errorf("of %d dead letters %d wait and %d are dead", letters, depth.Waiting, depth.Dead)
			}
			if n, err := other.Redrive(testContext(t), q, driver.Selection{All: true}); err != nil || n != int(depth.Dead) {
				t.Errorf("redriven were %d of %d: %v", n, depth.Dead, err)
			}
		})
	}
}

// Close does not wait for a look through the dead letters beyond its ctx.
func TestCloseWhileDeadLettersAreRedriven(t *testing.T) {
	d := open(t).base
	q := queue(t, d)
	bury(t, d, q, 500)
	address := testURL(t)
	short, err := Open(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	ended := make(chan struct{})
	go func() {
		_, _ = short.Redrive(ctx, q, driver.Selection{All: true})
		close(ended)
	}()
	for ready := int64(500); ready == 500; {
		depth, err := d.Depth(testContext(t), q)
		if err != nil {
			t.Fatal(err)
		}
		ready = depth.Dead
	}
	cancel()
	<-ended
	closeDriver(t, short)
	if _, _, err := d.DeadLetters(testContext(t), q, "", 1); err != nil {
		t.Error(err)
	}
}

// A marker that somebody took is not waited for without an end.
func TestMarkerThatIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		taken := make(chan amqp091.Delivery, 1)
		br := &browser{silent: time.NewTimer(time.Hour), taken: taken}
		taken <- amqp091.Delivery{MessageId: "a"}
		if got, err := br.next(t.Context()); err != nil || got.MessageId != "a" {
			t.Fatal(got, err)
		}
		if _, err := br.next(t.Context()); err != errSilent || !br.lost {
			t.Errorf("without a marker: %v", err)
		}
	})
}
