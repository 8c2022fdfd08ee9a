package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

const (
	defaultWaitTimeout = 2 * time.Second
	minWaitTimeout     = time.Millisecond
	maxWaitTimeout     = time.Minute
	// maxReplicas is more than a primary has.
	maxReplicas = 100
)

// durability is what a job must have reached before it counts as stored. The zero value is
// the memory of the primary, or what its own settings make of that.
type durability struct {
	replicas int
	aof      bool // the append-only file of the primary, and of those replicas
	timeout  time.Duration
}

// wanted tells whether there is anything to wait for.
func (w durability) wanted() bool { return w.replicas > 0 || w.aof }

// command is what waits for all that its connection has written before.
func (w durability) command() []any {
	if w.aof {
		return []any{"waitaof", 1, w.replicas, w.timeout.Milliseconds()}
	}
	return []any{"wait", w.replicas, w.timeout.Milliseconds()}
}

// notDurable says that what was written is on the primary, and not where it should be.
type notDurable struct {
	got, want int
	aof       bool // it is the primary's append-only file that is missing
}

// Error says so.
func (e notDurable) Error() string {
	if e.aof {
		return "the primary stored it, and its append-only file was not synced in time"
	}
	return fmt.Sprintf("the primary stored it, and %d of %d replicas have it", e.got, e.want)
}

// check reads the reply of the command.
func (w durability) check(raw []byte) error {
	r := reader{buf: raw}
	if w.aof && r.array() != 2 {
		r.malformed()
	}
	if w.aof && r.int() < 1 && r.err == nil {
		return notDurable{aof: true}
	}
	got := r.int()
	if r.err == nil && got < int64(w.replicas) {
		return notDurable{got: int(got), want: w.replicas}
	}
	return r.err
}

// evalStore is eval for a script that stores jobs: it waits for the durability that the
// driver was opened with, in the same round trip.
func (c *connection) evalStore(ctx context.Context, s *script, args []any) ([]byte, error) {
	if !c.durability.wanted() {
		return c.eval(ctx, s, args)
	}
	return c.evalUntil(ctx, s, args, (*connection).evalDurable)
}

// evalDurable runs a script and waits, without regard to any context.
func (c *connection) evalDurable(s *script, args []any) ([]byte, error) {
	raws, err := c.storeAndWait(args)
	if err == nil && strings.HasPrefix(string(raws[0]), "-NOSCRIPT") {
		whole := slices.Clone(args)
		whole[0], whole[1] = "eval", s.source
		raws, err = c.storeAndWait(whole)
	}
	if err != nil {
		return nil, err
	}
	err = errorOf(raws[0])
	if se, ok := err.(serverError); ok && misdirected(se) {
		c.learn(args)
	}
	if err != nil {
		return nil, err
	}
	return raws[0], c.durability.check(raws[1])
}

// storeAndWait sends a command and the wait behind it on one connection, to the server
// that has its first key: the wait has none, and would go to any.
func (c *connection) storeAndWait(args []any) ([][]byte, error) {
	client := c.client
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		key, _ := args[firstKey].(string)
		node, err := cluster.MasterForKey(c.ctx, key)
		if err != nil {
			return nil, fault.NotSent{Err: c.unlessCut(err)}
		}
		client = node
	}
	return c.execute(c.ctx, client.Pipeline(), [][]any{args, c.durability.command()})
}

// firstKey is where the first key stands in the arguments of a script.
const firstKey = 3

// learn lets the client library find out that its server is not the one to write to, which
// it overlooks in raw replies. Nothing was stored, and the caller tries again.
func (c *connection) learn(args []any) {
	if cluster, ok := c.client.(*goredis.ClusterClient); ok {
		cluster.ReloadState(c.ctx)
		return
	}
	key, _ := args[firstKey].(string)
	_ = c.client.Process(c.ctx, onceParsed{goredis.NewCmd(c.ctx, "xtrim", key, "minid", "0")}) // changes nothing
}

// isNotDurable tells that error, and what it means.
func isNotDurable(err error) (v fault.Verdict, ok bool) {
	var e notDurable
	if !errors.As(err, &e) {
		return v, false
	}
	return fault.Unknown(driver.ErrUnavailable, "is a replica down or slow? see wait_replicas, wait_aof and wait_timeout"), true
}
