package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/internal/brokers/launch"
)

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	i := brokers.RedisTLS(t, brokers.Redis8)
	setAndGet(t, redisClient(t, i))

	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	stranger := redis.NewClient(&redis.Options{Addr: i.Addr, TLSConfig: i.TLS, MaxRetries: -1})
	err := stranger.Ping(ctx).Err()
	if err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("PING without the password = %v, want NOAUTH", err)
	}
	if err := stranger.Close(); err != nil {
		t.Error(err)
	}
	plain := &launch.Server{Protocol: launch.Redis, Addr: i.Addr, Password: i.Password}
	if _, _, err := greetRedis(ctx, plain); err == nil {
		t.Error("PING without TLS was answered")
	}
}

func TestRedisClusterSpreadsKeys(t *testing.T) {
	for _, v := range []brokers.Version{brokers.Redis8, brokers.Valkey8} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			cluster := brokers.RedisCluster(t, v)
			client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
			defer closeClient(t, client)
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			const keys = 30
			for n := range keys {
				key := fmt.Sprint("spread:", n)
				if err := client.Set(ctx, key, n, time.Minute).Err(); err != nil {
					t.Fatal(err)
				}
				if got, err := client.Get(ctx, key).Int(); err != nil || got != n {
					t.Fatalf("GET %s = %d, %v", key, got, err)
				}
			}
			for _, node := range cluster.Nodes {
				size, err := askRedis(ctx, &node.Server, "DBSIZE")
				if err != nil {
					t.Fatal(err)
				}
				if size == "0" {
					t.Errorf("none of %d keys lives on %s", keys, node.Addr)
				}
			}
		})
	}
}

func TestRedisClusterNodeComesBack(t *testing.T) {
	t.Parallel()
	cluster := brokers.NewRedisCluster(t, brokers.Redis8)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	node := cluster.Nodes[1]
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Await(ctx); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
	defer closeClient(t, client)
	setAndGet(t, client)
}

func TestRedisSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s := brokers.NewRedisSentinel(t, brokers.Redis8)
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.Addrs()})
	defer closeClient(t, client)
	setAndGet(t, client)

	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if addr, err := s.MasterAddr(ctx); err != nil || addr != s.Master.Addr {
		t.Fatalf("the master is %q, %v, want %q", addr, err, s.Master.Addr)
	}
	if err := s.Master.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	err := await(ctx, func(ctx context.Context) error {
		addr, err := s.MasterAddr(ctx)
		if err == nil && addr != s.Replica.Addr {
			err = fmt.Errorf("the master is still %s", addr)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	setAndGet(t, client)
}

func TestSharedSentinelIsShared(t *testing.T) {
	t.Parallel()
	s := brokers.RedisSentinel(t, brokers.Valkey8)
	if again := brokers.RedisSentinel(t, brokers.Valkey8); again != s {
		t.Error("a second call started another one")
	}
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.Addrs()})
	defer closeClient(t, client)
	setAndGet(t, client)
}

func closeClient(t *testing.T, client interface{ Close() error }) {
	t.Helper()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
