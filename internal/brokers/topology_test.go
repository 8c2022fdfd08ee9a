package brokers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

func TestRedisTLS(t *testing.T) {
	t.Parallel()
	i := RedisTLS(t, Redis8)
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
	plain := &Instance{Addr: i.Addr, Password: i.Password, protocol: redisProtocol}
	if err := plain.ping(ctx); err == nil {
		t.Error("PING without TLS was answered")
	}
}

func TestRedisClusterSpreadsKeys(t *testing.T) {
	for _, v := range []Version{Redis8, Valkey8} {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			cluster := RedisCluster(t, v)
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
				size, err := node.ask(ctx, "DBSIZE")
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
	cluster := NewRedisCluster(t, Redis8)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	node := cluster.Nodes[1]
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := await(ctx, cluster.formed); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
	defer closeClient(t, client)
	setAndGet(t, client)
}

func TestRedisSentinelFailsOver(t *testing.T) {
	t.Parallel()
	s := NewRedisSentinel(t, Redis8)
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
	s := RedisSentinel(t, Valkey8)
	if again := RedisSentinel(t, Valkey8); again != s {
		t.Error("a second call started another one")
	}
	client := redis.NewFailoverClient(&redis.FailoverOptions{MasterName: s.MasterName, SentinelAddrs: s.Addrs()})
	defer closeClient(t, client)
	setAndGet(t, client)
}

func TestFreePortsStayClearOfEachOther(t *testing.T) {
	var ports []int
	for range 50 {
		port, err := freePort()
		if err != nil {
			t.Fatal(err)
		}
		if slices.Contains(ports, port) {
			t.Fatalf("port %d was given twice", port)
		}
		ports = append(ports, port)
	}
}

func closeClient(t *testing.T, client interface{ Close() error }) {
	t.Helper()
	if err := client.Close(); err != nil {
		t.Error(err)
	}
}
