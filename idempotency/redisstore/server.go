package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// oldest is the oldest major version with which the scripts are tested.
const oldest = 7

// check refuses servers on which the store cannot keep its promises.
func check(ctx context.Context, client redis.UniversalClient, evicts bool) error {
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		return checkOne(ctx, client, evicts)
	}
	return cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return checkOne(ctx, c, evicts) })
}

// checkOne is check for one server. Not every server tells everything; what it does not tell
// is not held against it.
func checkOne(ctx context.Context, client redis.UniversalClient, evicts bool) error {
	info, err := client.Info(ctx).Result()
	if err != nil {
		return fmt.Errorf("ask the server what it is: %w", err)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			fields[name] = value
		}
	}
	major, _, _ := strings.Cut(fields["redis_version"], ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldest {
		return fmt.Errorf("the server is Redis %s, and %d.0 is needed: upgrade it", fields["redis_version"], oldest)
	}
	if fields["redis_mode"] == "sentinel" {
		return fmt.Errorf("the server is a sentinel: use redis.NewFailoverClient")
	}
	policy := fields["maxmemory_policy"]
	if fields["maxmemory"] != "0" && policy != "" && policy != "noeviction" && !evicts {
		return fmt.Errorf("the server has maxmemory-policy %s, by which it forgets keys when memory runs out: set noeviction, or pass AllowEviction", policy)
	}
	return nil
}
