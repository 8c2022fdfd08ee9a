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
