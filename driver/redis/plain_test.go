package redis

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestPlainEnqueueCost: one plain job is two commands, and no script, whether a consumer waits
// or not. The first of a level is a script, which makes the stream.
func TestPlainEnqueueCost(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	q := queue(t, c.d)
	enqueue(t, c.d, q, message("first"))
	one := func() { enqueue(t, c.d, q, message("x")) }
	if got := c.count(one); got != (commands{all: 2}) {
		t.Errorf("a token is there: %+v", got)
	}
	c.r.Del(testContext(t), c.d.names(q).wake)
	if got := c.count(one); got != (commands{all: 2}) {
		t.Errorf("no token is there: %+v", got)
	}
}

// TestPlainEnqueueWakes: a job that is stored without a script ends the waiting of one consumer,
// on each kind of server, in each level, and also where the user has no right to COPY.
func TestPlainEnqueueWakes(t *testing.T) {
	for _, version := range brokers.RedisVersions() {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			server := brokers.NewRedis(t, version)
			admin := rawAt(t, server.URL()).(*goredis.Client)
			if err := admin.Do(testContext(t), "acl", "setuser", "batch", "on", ">password", "~batch:*", "+@all", "-copy").Err(); err != nil {
				t.Fatal(err)
			}
			all := openAt(t, server.URL())
			without := openAt(t, strings.Replace(server.URL(), "redis://", "redis://batch:password@", 1))
			q := queue(t, all)
			c := consume(t, all, q, time.Minute)
			// The look of a consumer that nobody wakes would come later than the test ends.
			c.waker.block = time.Hour
			c.waker.patience = time.Hour
			for round := range 2 {
				for l := driver.Trivial; l <= driver.Critical; l++ {
					for _, d := range []*Driver{all, without} {
						got := make(chan *driver.Delivery)
						go func() { got <- receive(t, c, 1)[0] }()
						eventually(t, "the consumer to wait", func() bool { return blocked(t, admin, all, q) == 1 })
						enqueue(t, d, q, message("a", level(l)))
						done(t, c, <-got)
					}
				}
				if round == 1 && !without.noCopy.Load() {
					t.Error("the user without the right to COPY did not hear of that")
				}
			}
		})
	}
}

// TestPlainEnqueueOnDeletedQueue: what a queue had is gone with it, so that a plain job is
// refused, and nothing is made of it.
func TestPlainEnqueueOnDeletedQueue(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	enqueue(t, d, q, message("a"))
	enqueue(t, d, q, message("b"))
	if err := d.DeleteQueue(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	err := d.Enqueue(testContext(t), q, []*driver.Message{message("c")})[0].Err
	if !errors.Is(err, driver.ErrNotFound) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("enqueued: %v", err)
	}
	if keys := keysOf(t, r, d, q); len(keys) != 1 || keys[0] != "deleted" {
		t.Errorf("the keys %v are there", keys)
	}
}

// TestPlainEnqueueCutInTheMiddle: a job whose XADD was answered is stored, whatever became of
// the command behind it.
func TestPlainEnqueueCutInTheMiddle(t *testing.T) {
	for name, reply := range map[string]string{"stored": "$3\r\n1-1\r\n", "too large": "-ERR Protocol error: invalid bulk length\r\n", "half": "$9\r\n1-1"} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, fit(func(words []string) []byte {
				if words[0] == "xadd" {
					return []byte(reply)
				}
				return []byte{}
			}))
			d := openAt(t, f.url(""))
			var err error
			for _, r := range d.Enqueue(context.Background(), "q", []*driver.Message{message("a")}) {
				err = r.Err
			}
			switch name {
			case "stored":
				if err != nil {
					t.Error(err)
				}
			case "too large":
				if !errors.Is(err, driver.ErrTooLarge) || driver.FateOf(err) != driver.FateNotStored {
					t.Error(err)
				}
			default:
				if driver.FateOf(err) != driver.FateUnknown || err == nil {
					t.Error(err)
				}
			}
		})
	}
}
