package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/internal/brokers"
)

// testTimeout bounds what a test waits for.
const testTimeout = 30 * time.Second

func TestRedisServesEveryVersion(t *testing.T) {
	want := map[brokers.Version]string{brokers.Redis7: "redis 7.", brokers.Redis8: "redis 8.", brokers.Valkey8: "valkey 8."}
	overridden := len(brokers.RedisVersions()) != len(want)
	for _, v := range brokers.RedisVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			i := brokers.Redis(t, v)
			if !overridden && !strings.HasPrefix(i.String(), want[v]) {
				t.Errorf("got %s, want %s", i, want[v])
			}
			setAndGet(t, redisClient(t, i))
			if again := brokers.Redis(t, v); again != i {
				t.Errorf("a second call started another broker: %s and %s", i.Addr, again.Addr)
			}
		})
	}
}

// redisClient returns a client of i that is closed when the test ends.
func redisClient(t *testing.T, i *brokers.Instance) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(i.URL())
	if err != nil {
		t.Fatal(err)
	}
	if i.TLS != nil {
		options.TLSConfig = i.TLS
	}
	client := redis.NewClient(options)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// setAndGet writes a value through a client and reads it back.
func setAndGet(t *testing.T, client redis.Cmdable) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	key := "brokers:" + t.Name()
	if err := client.Set(ctx, key, "value", time.Minute).Err(); err != nil {
		t.Fatal(err)
	}
	got, err := client.Get(ctx, key).Result()
	if err != nil {
		t.Fatal(err)
	}
	if got != "value" {
		t.Errorf("GET after SET = %q, want %q", got, "value")
	}
}
