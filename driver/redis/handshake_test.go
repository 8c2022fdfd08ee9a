package redis

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// TestClosedInTheHandshake: a connection that ends before the server was asked for
// anything has stored nothing. So it is behind a proxy, which accepts connections although
// the server is gone, and when the server does not answer.
func TestClosedInTheHandshake(t *testing.T) {
	for _, step := range []string{"hello", "auth", "select", "client"} {
		for how, reply := range map[string][]byte{"closed": {}, "silent": nil} {
			for _, form := range []string{"redis", "redis+cluster", "redis+sentinel"} {
				if form == "redis+cluster" && step == "select" || form != "redis" && reply == nil {
					continue // a cluster has one database; and to be silent takes a while
				}
				t.Run(fmt.Sprintf("%s at %s, %s", how, step, form), func(t *testing.T) {
					t.Parallel()
					testClosedInTheHandshake(t, form, step, reply)
				})
			}
		}
	}
}

// testClosedInTheHandshake is one row: the server answers a step of the handshake so.
func testClosedInTheHandshake(t *testing.T, form, step string, reply []byte) {
	var down, asked atomic.Bool
	v := newVanishing(t)
	answer := v.answer
	v.answer = func(words []string) []byte {
		switch word := strings.ToLower(words[0]); {
		case down.Load() && word == step:
			return reply
		case word == "eval" || word == "evalsha":
			asked.Store(true)
		}
		return answer(words)
	}
	address := fmt.Sprintf("%s://user:secret@%s/1?master=m&sentinel_user=user&sentinel_password=secret", form, v.ln.Addr())
	switch form {
	case "redis":
		address, _, _ = strings.Cut(address, "?")
		address += "?"
	case "redis+cluster":
		address = fmt.Sprintf("%s://user:secret@%s?", form, v.ln.Addr())
	}
	address += "&timeout=200ms"
	for name, enqueue := range map[string]func(d *Driver) error{
		"Enqueue":       func(d *Driver) error { return d.Enqueue(testContext(t), "q", many(1))[0].Err },
		"Enqueue later": func(d *Driver) error { return d.Enqueue(testContext(t), "q", many(1, delay(time.Hour)))[0].Err },
		"EnqueueAtomic": func(d *Driver) error { return d.EnqueueAtomic(testContext(t), "q", many(2)) },
		"Import": func(d *Driver) error {
			return d.Import(testContext(t), "q", entriesOf(many(1), driver.StateDead, 0))[0].Err
		},
	} {
		for _, durable := range []string{"", "&wait_replicas=1&wait_timeout=100ms"} {
			down.Store(false)
			d := openAt(t, address+durable)
			v.reset()
			down.Store(true)
			err := enqueue(d)
			if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored || asked.Load() {
				t.Errorf("%s%s: %v, %s; asked for something: %v", name, durable, err, driver.FateOf(err), asked.Load())
			}
		}
	}
}
