package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestPlainEnqueueCost: plain jobs are one command each and two for all of them, and no script,
// whether a consumer waits or not. The first of a level are a script, which makes the stream.
func TestPlainEnqueueCost(t *testing.T) {
	t.Parallel()
	c := newCosted(t)
	q := queue(t, c.d)
	enqueue(t, c.d, q, message("first"))
	for _, n := range []int{1, 2, 100} {
		list := many(n)
		all := func() { enqueue(t, c.d, q, list...) }
		if got := c.count(all); got != (commands{all: n + 2}) {
			t.Errorf("%d jobs, a token is there: %+v", n, got)
		}
		c.r.Del(testContext(t), c.d.names(q).wake)
		if got := c.count(all); got != (commands{all: n + 2}) {
			t.Errorf("%d jobs, no token is there: %+v", n, got)
		}
	}
}

// TestPlainEnqueueOfManyLevels: the jobs of a level whose stream is not there yet are stored by
// the script, and the others beside them without, each once.
func TestPlainEnqueueOfManyLevels(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	enqueue(t, d, q, message("first", level(driver.Low)))
	var list []*driver.Message
	for i := range 50 {
		list = append(list, message(fmt.Sprint("j", i), level(driver.Level(i%5-2)), func(m *driver.Message) {
			m.Headers = map[string]string{"n": fmt.Sprint(i)}
		}))
	}
	for range 3 { // the commands of an earlier one are used again
		enqueue(t, d, q, list...)
	}
	c := consume(t, d, q, time.Minute)
	seen := make(map[string]int)
	for _, got := range receive(t, c, 151) {
		seen[got.Message.ID]++
		if n := got.Message.Headers["n"]; got.Message.ID != "first" && got.Message.ID != "j"+n {
			t.Errorf("job %s has the header of %s", got.Message.ID, n)
		}
	}
	for _, m := range list {
		if seen[m.ID] != 3 {
			t.Errorf("job %s came %d times", m.ID, seen[m.ID])
		}
	}
}

// TestPlainEnqueueWithoutMeta: a queue whose meta key was removed by hand does not exist, though
// its streams are there. Nothing is stored, and it goes on when it is declared again.
func TestPlainEnqueueWithoutMeta(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	enqueue(t, d, q, message("before"))
	if err := r.Del(testContext(t), metaKey(d, q)).Err(); err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{1, 3} {
		for i, result := range d.Enqueue(testContext(t), q, many(n)) {
			if !errors.Is(result.Err, driver.ErrNotFound) || driver.FateOf(result.Err) != driver.FateNotStored {
				t.Errorf("job %d of %d: %v", i+1, n, result.Err)
			}
		}
		if stored := r.XLen(testContext(t), streamKey(d, q, driver.Normal)).Val(); stored != 1 {
			t.Errorf("%d jobs are in the stream", stored)
		}
	}
	if keys := keysOf(t, r, d, q); slices.Contains(keys, metaName) {
		t.Error("the enqueue made the queue")
	}
	declare(t, d, q)
	enqueue(t, d, q, message("after"))
	if got := ids(receive(t, consume(t, d, q, time.Minute), 2)); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("received %v", got)
	}
}

// TestRetract: what was added to a queue that did not exist stays, if it was handed out by then
// or the queue was declared. It is gone with the queue's streams.
func TestRetract(t *testing.T) {
	d, r := open(t), raw(t)
	q := queue(t, d)
	enqueue(t, d, q, message("held"), message("waiting"))
	receive(t, consume(t, d, q, time.Hour), 1)
	entries, err := r.XRange(testContext(t), streamKey(d, q, driver.Normal), "-", "+").Result()
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	retract := func() []any {
		t.Helper()
		keys := &d.names(q).enqueue
		args := append([]any{"eval", retractScript.source, len(keys)}, keys[:]...)
		for _, e := range entries {
			args = append(args, normalStream, e.ID)
		}
		gone, err := r.Do(testContext(t), args...).Slice()
		if err != nil {
			t.Fatal(err)
		}
		return gone
	}
	if gone := retract(); !slices.Equal(gone, []any{int64(0), int64(0)}) {
		t.Errorf("of a queue that exists: %v", gone)
	}
	if err := r.Del(testContext(t), metaKey(d, q)).Err(); err != nil {
		t.Fatal(err)
	}
	if gone := retract(); !slices.Equal(gone, []any{int64(0), int64(1)}) {
		t.Errorf("of a queue that does not: %v", gone)
	}
	if err := r.Del(testContext(t), streamKey(d, q, driver.Normal)).Err(); err != nil {
		t.Fatal(err)
	}
	if gone := retract(); !slices.Equal(gone, []any{int64(1), int64(1)}) {
		t.Errorf("of a queue that was deleted: %v", gone)
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
			c.member.listener.block = time.Hour
			c.member.listener.patience = time.Hour
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
				if round == 1 && !without.lacksCopy() {
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

// TestPlainEnqueueLooksAgain: a user who gets the right to COPY is served by plain commands after a
// while, and one who does not is asked for it once each time.
func TestPlainEnqueueLooksAgain(t *testing.T) {
	var may atomic.Bool
	var copies, scripts atomic.Int64
	f := serve(t, fit(func(words []string) []byte {
		switch words[0] {
		case "copy":
			if copies.Add(1); !may.Load() {
				return []byte("-NOPERM this user has no permissions to run the 'copy' command\r\n")
			}
		case "evalsha":
			scripts.Add(1)
			return []byte(":1\r\n")
		case "xadd":
			return []byte("$3\r\n1-1\r\n")
		}
		return []byte(":1\r\n")
	}))
	d := openAt(t, f.url(""))
	for look, want := range []struct{ copies, scripts int64 }{{1, 2}, {2, 4}, {5, 4}} {
		may.Store(look == 2)
		for range 3 {
			for _, r := range d.Enqueue(testContext(t), "q", many(1)) {
				t.Fatal(r.Err)
			}
		}
		if copies.Load() != want.copies || scripts.Load() != want.scripts {
			t.Errorf("look %d: %d times COPY and %d scripts, want %+v", look, copies.Load(), scripts.Load(), want)
		}
		if left := time.Until(time.Unix(0, d.noCopy.Load())); left > copyAgain || look < 2 && left < copyAgain-time.Minute {
			t.Errorf("look %d: the next is in %s", look, left)
		}
		d.noCopy.CompareAndSwap(d.noCopy.Load(), 1) // long ago
	}
}

// TestPlainEnqueueCutInTheMiddle: a job whose XADD was answered is stored, whatever became of
// the command behind it.
func TestPlainEnqueueCutInTheMiddle(t *testing.T) {
	for name, reply := range map[string]string{"stored": "$3\r\n1-1\r\n", "too large": "-ERR Protocol error: invalid bulk length\r\n", "half": "$9\r\n1-1"} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, fit(func(words []string) []byte {
				switch words[0] {
				case "exists":
					return []byte(":1\r\n")
				case "xadd":
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

// TestPlainEnqueueIsRefusedAtLogin: a job for which a new connection was needed, that the server
// does not let in any more, was not stored.
func TestPlainEnqueueIsRefusedAtLogin(t *testing.T) {
	var rotated atomic.Bool
	open := fit(func([]string) []byte { return []byte{} })
	f := serve(t, func(words []string) []byte {
		if rotated.Load() && strings.EqualFold(words[0], "auth") {
			return []byte("-WRONGPASS invalid username-password pair or user is disabled.\r\n")
		}
		return open(words)
	})
	d := openAt(t, f.url("batch:password@"))
	rotated.Store(true)
	f.mu.Lock()
	for _, c := range f.conns {
		c.Close()
	}
	f.mu.Unlock()
	for _, n := range []int{1, 3} {
		var results []driver.Result
		eventually(t, "a connection that is new", func() bool {
			results = d.Enqueue(testContext(t), "q", many(n))
			return firstError(results) != nil && !errors.Is(firstError(results), driver.ErrUnavailable)
		})
		for i, r := range results {
			if !errors.Is(r.Err, driver.ErrUnauthorized) || driver.FateOf(r.Err) != driver.FateNotStored {
				t.Errorf("job %d of %d: %v, %s", i, n, r.Err, driver.FateOf(r.Err))
			}
		}
	}
}

// TestPlainEnqueueBehindWhatIsNotRead: none of the jobs behind one that the server does not read
// is stored, and those before it are, and wake a consumer.
func TestPlainEnqueueBehindWhatIsNotRead(t *testing.T) {
	var adds, tokens atomic.Int64
	f := serve(t, fit(func(words []string) []byte {
		switch words[0] {
		case "exists":
			return []byte(":1\r\n")
		case "xadd":
			switch adds.Add(1) {
			case 1:
				return []byte("$3\r\n1-1\r\n")
			case 2:
				return []byte("-ERR Protocol error: invalid bulk length\r\n")
			}
		case "rpush":
			tokens.Add(1)
			return []byte(":1\r\n")
		}
		return []byte{}
	}))
	results := openAt(t, f.url("")).Enqueue(testContext(t), "q", many(5))
	for i, r := range results {
		if stored := i == 0; stored != (r.Err == nil) || !stored && driver.FateOf(r.Err) != driver.FateNotStored {
			t.Errorf("job %d: %v, %s", i, r.Err, driver.FateOf(r.Err))
		}
	}
	if len(results) != 5 || tokens.Load() != 1 {
		t.Errorf("there are %d results and %d tokens", len(results), tokens.Load())
	}
}
