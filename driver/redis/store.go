package redis

import (
	"context"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/internal/fault"
)

// evalStore is eval for a script that stores jobs: it waits for the durability that the
// driver was opened with, in the same round trip.
func (c *connection) evalStore(ctx context.Context, s *script, args []any) ([]byte, error) {
	if err := c.life.Begin(ctx); err != nil {
		return nil, err
	}
	return c.here(ctx, func(inner context.Context) ([]byte, error) {
		if c.durability.wanted() {
			return c.evalDurable(inner, s, args)
		}
		return c.evalNow(inner, s, args)
	})
}

// evalDurable runs a script and waits, with a context of the client library's.
func (c *connection) evalDurable(ctx context.Context, s *script, args []any) ([]byte, error) {
	raws, err := c.storeAndWait(ctx, args)
	if err == nil && strings.HasPrefix(string(raws[0]), "-NOSCRIPT") {
		whole := slices.Clone(args)
		whole[0], whole[1] = "eval", s.source
		raws, err = c.storeAndWait(ctx, whole)
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
func (c *connection) storeAndWait(ctx context.Context, args []any) ([][]byte, error) {
	client := c.client
	if cluster, ok := client.(*goredis.ClusterClient); ok {
		key, _ := args[firstKey].(string)
		node, err := cluster.MasterForKey(ctx, key)
		if err != nil {
			return nil, fault.NotSent{Err: c.unlessCut(err)}
		}
		client = node
	}
	return c.execute(ctx, client.Pipeline(), [][]any{args, c.durability.command()})
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
