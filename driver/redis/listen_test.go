package redis

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// TestTokenKeyOfAnotherType: a key that is no list, in the place of one consumer's tokens, does
// not keep the others from receiving that wait on the same connection.
func TestTokenKeyOfAnotherType(t *testing.T) {
	var pops atomic.Int64
	f := serve(t, fit(func(words []string) []byte {
		switch words[0] {
		case "blpop":
			if len(words) < 5 {
				return []byte("*-1\r\n") // one consumer is alone yet
			}
			pops.Add(1)
			return []byte("-WRONGTYPE Operation against a key holding the wrong kind of value\r\n")
		case "evalsha":
			return []byte("*2\r\n:-1\r\n:0\r\n")
		}
		return []byte(":0\r\n")
	}))
	d := openAt(t, f.url(""))
	d.ears.limit = 1
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	waits := []chan received{background(ctx, consume(t, d, "a", time.Minute), 1), background(ctx, consume(t, d, "b", time.Minute), 1)}
	eventually(t, "three BLPOPs", func() bool { return pops.Load() > 2 })
	cancel()
	for _, ch := range waits {
		if got := <-ch; !errors.Is(got.err, context.Canceled) {
			t.Errorf("received %v, %v", ids(got.got), got.err)
		}
	}
}

// pickedUp is how many commands a job takes that comes to a consumer that waits: three store it, then BLPOP,
// the script that hands out and four in it, and that which settles and two in it.
const pickedUp = 12

// TestPickUpCommands counts the commands of jobs that come one at a time. What looks after the
// queue takes a few more now and then, so the least counts.
func TestPickUpCommands(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	q := queue(t, c.d)
	con := consume(t, c.d, q, time.Hour)
	one := func() {
		next := background(testContext(t), con, 100)
		eventually(t, "the consumer to wait", func() bool { return blocked(t, c.r, c.d, q) == 1 })
		enqueue(t, c.d, q, message("a"))
		done(t, con, await(t, next)...)
	}
	one()
	least := 1000
	for range 10 {
		before := c.called("client|list")
		got := c.count(one)
		least = min(least, got.all-(c.called("client|list")-before))
	}
	if least > pickedUp {
		t.Errorf("a job takes %d commands, the budget is %d", least, pickedUp)
	}
}
