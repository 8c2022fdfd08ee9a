package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// oldest is the oldest version on which the scripts are right and with which they
// are tested: since 7.0 claims drop deleted entries from the pending list, scripts
// always replicate their effects, and errors keep their code when they pass through
// a script.
var oldest = [2]int{7, 0}

// oldestWaitAOF is the oldest version that waits for its append-only file.
var oldestWaitAOF = [2]int{7, 2}

// server is what a server tells of itself.
type server struct {
	product, version, mode, eviction string
	maxMemory                        bool // it has a maxmemory
	appendOnly                       bool // it has an append-only file
	maxBulk                          int  // the longest string of a command, 0 if it does not tell
}

// ask asks the server, or each primary of a cluster.
func ask(ctx context.Context, client goredis.UniversalClient) ([]server, error) {
	var mu sync.Mutex
	var servers []server
	err := eachPrimary(ctx, client, func(ctx context.Context, c goredis.UniversalClient) error {
		text, err := c.Info(ctx).Result()
		s := describe(text)
		if err == nil {
			s.maxBulk = askMaxBulk(ctx, c)
		}
		mu.Lock()
		defer mu.Unlock()
		servers = append(servers, s)
		return err
	})
	if err == nil && len(servers) == 0 {
		err = errors.New("redis: cluster has no nodes")
	}
	return servers, err
}

// askMaxBulk is the longest string that a server takes, or 0 if it does not tell: managed
// servers have no CONFIG, and users may lack the right to it.
func askMaxBulk(ctx context.Context, c goredis.UniversalClient) int {
	const name = "proto-max-bulk-len"
	values, err := c.ConfigGet(ctx, name).Result()
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(values[name])
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// eachPrimary calls f for the server, or for each primary of a cluster, several at
// once, and returns an error of one of them.
func eachPrimary(ctx context.Context, client goredis.UniversalClient, f func(context.Context, goredis.UniversalClient) error) error {
	cluster, ok := client.(*goredis.ClusterClient)
	if !ok {
		return f(ctx, client)
	}
	return cluster.ForEachMaster(ctx, func(ctx context.Context, c *goredis.Client) error { return f(ctx, c) })
}

// describe reads the reply of INFO. Valkey calls itself Redis 7.2.4 for old
// clients, and tells the truth in server_name and valkey_version.
func describe(info string) server {
	fields := fieldsOf(info)
	s := server{product: "Redis", version: fields["redis_version"], mode: fields["redis_mode"],
		eviction: fields["maxmemory_policy"], maxMemory: fields["maxmemory"] != "0",
		appendOnly: fields["aof_enabled"] == "1"}
	if fields["server_name"] == "valkey" || fields["valkey_version"] != "" {
		s.product, s.version = "Valkey", fields["valkey_version"]
	}
	if s.mode == "" {
		s.mode = fields["server_mode"] // Valkey, if extended compatibility is off
	}
	return s
}

// fieldsOf reads the reply of INFO into its fields.
func fieldsOf(info string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// check refuses a server on which the driver cannot keep its promises.
func (s server) check(isCluster bool, options Options) error {
	refuse := func(kind error, hint, format string, args ...any) error {
		return faults.Refuse("open", "", kind, fmt.Errorf(format, args...), hint)
	}
	if s.mode == "sentinel" {
		return refuse(driver.ErrConfig, "use redis+sentinel://host:26379?master=NAME", "the server is a sentinel")
	}
	if s.mode == "cluster" && !isCluster {
		return refuse(driver.ErrConfig, "use redis+cluster://", "the server is part of a cluster")
	}
	if s.mode == "standalone" && isCluster {
		return refuse(driver.ErrConfig, "use redis://", "the server is not part of a cluster")
	}
	if s.product == "Redis" && !atLeast(s.version, oldest) {
		return refuse(driver.ErrUnsupported, "upgrade the server", "Redis %s was found and %d.%d is needed", s.version, oldest[0], oldest[1])
	}
	if options.WaitAOF && s.product == "Redis" && !atLeast(s.version, oldestWaitAOF) {
		return refuse(driver.ErrUnsupported, "upgrade the server, or leave out wait_aof", "Redis %s has no WAITAOF, and %d.%d does", s.version, oldestWaitAOF[0], oldestWaitAOF[1])
	}
	if options.WaitAOF && !s.appendOnly {
		return refuse(driver.ErrConfig, "set appendonly yes, or leave out wait_aof", "the server has no append-only file")
	}
	if err := s.evicts(); err != nil && !options.AllowEviction {
		return faults.Refuse("open", "", driver.ErrUnsupported, err, evictionHint)
	}
	return nil
}

// evicts is an error if the server may evict what the driver keeps in it.
func (s server) evicts() error {
	switch {
	case !s.maxMemory || s.eviction == "noeviction" || s.eviction == "":
		return nil
	case strings.HasPrefix(s.eviction, "volatile-"):
		return fmt.Errorf("the server has maxmemory-policy %s, which forgets unique keys when memory runs out, so that their jobs are stored twice", s.eviction)
	default:
		return fmt.Errorf("the server has maxmemory-policy %s, which drops jobs when memory runs out", s.eviction)
	}
}

// evictionHint is what to do about that.
const evictionHint = "set maxmemory-policy noeviction, or pass eviction=allow"

// atLeast compares the first two numbers of a version.
func atLeast(version string, want [2]int) bool {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > want[0] || a == want[0] && b >= want[1])
}
