package redisstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/storetest"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) {
	// What go-redis logs of sentinels and lost connections would hide what a test logs.
	redis.SetLogger(&logging.VoidLogger{})
	brokers.AtOnce(6)
	brokers.Main(m)
}

// closing closes a client when the test ends.
func closing(t *testing.T, c redis.UniversalClient) redis.UniversalClient {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	return c
}

// single is a client of one server.
func single(t *testing.T, server *brokers.Instance) redis.UniversalClient {
	return closing(t, redis.NewClient(&redis.Options{Addr: server.Addr}))
}

// newStore makes a store.
func newStore(t *testing.T, c redis.UniversalClient, options ...Option) *Store {
	t.Helper()
	store, err := New(t.Context(), c, options...)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// begin fails the test unless the key is in the state that is wanted.
func begin(t *testing.T, store *Store, key string, ttl time.Duration, want idempotency.State) idempotency.Claim {
	t.Helper()
	claim, state, err := store.Begin(t.Context(), key, ttl)
	if err != nil || state != want {
		t.Fatalf("the key %s is %s, want %s; error %v", key, state, want, err)
	}
	return claim
}

func TestStore(t *testing.T) {
	for _, v := range brokers.RedisVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			server := brokers.Redis(t, v)
			newStore(t, single(t, server))
			storetest.RunShared(t, func(t *testing.T) idempotency.Store { return newStore(t, single(t, server)) })
		})
	}
	t.Run("cluster", func(t *testing.T) {
		brokers.SkipGiven(t, "redis")
		t.Parallel()
		cluster := brokers.RedisCluster(t, brokers.Redis8)
		client := closing(t, redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()}))
		storetest.Run(t, func(t *testing.T) idempotency.Store { return newStore(t, client) })
	})
	t.Run("sentinel", func(t *testing.T) {
		brokers.SkipGiven(t, "redis")
		t.Parallel()
		sentinel := brokers.RedisSentinel(t, brokers.Redis8)
		client := closing(t, redis.NewFailoverClient(&redis.FailoverOptions{MasterName: sentinel.MasterName, SentinelAddrs: sentinel.Addrs()}))
		storetest.Run(t, func(t *testing.T) idempotency.Store { return newStore(t, client) })
	})
}

// The cases of the suite about idempotency hold, on the memory driver.
func TestSuite(t *testing.T) {
	client := single(t, brokers.Redis(t, brokers.Redis8))
	ran := 0
	for _, c := range conformance.Cases() {
		if !strings.HasPrefix(c.Name, "idempotency-") {
			continue
		}
		ran++
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			b, err := memory.NewBroker(memory.Options{})
			if err != nil {
				t.Fatal(err)
			}
			prefix := Prefix(fmt.Sprintf("%s:%d:", c.Name, time.Now().UnixNano()))
			err = c.Run(t.Context(), conformance.Harness{
				Open:  func(context.Context) (driver.Driver, error) { return b.OpenPortable() },
				Store: func(ctx context.Context) (idempotency.Store, error) { return New(ctx, client, prefix) },
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	if ran < 10 {
		t.Errorf("the suite has %d cases about idempotency", ran)
	}
}

// In a cluster each node has some of the keys.
func TestKeysAreSpread(t *testing.T) {
	brokers.SkipGiven(t, "redis")
	cluster := brokers.RedisCluster(t, brokers.Redis8)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: cluster.Addrs()})
	closing(t, client)
	store := newStore(t, client, Prefix("spread:"))
	for i := range 200 {
		begin(t, store, fmt.Sprint(i), time.Minute, idempotency.Fresh)
	}
	var mu sync.Mutex
	err := client.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error {
		keys, err := c.Keys(ctx, "spread:*").Result()
		mu.Lock()
		defer mu.Unlock()
		if len(keys) < 40 { // a third of 200 keys, and of the counters
			t.Errorf("%s has %d keys", c, len(keys))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Tokens grow when the counters are lost, and when the server's clock is set back.
func TestTokens(t *testing.T) {
	if brokers.IsGiven("redis") {
		t.Skip("the server is not the test's to disturb")
	}
	t.Parallel()
	server := brokers.NewRedisClock(t, brokers.Redis8)
	client := single(t, server)
	store := newStore(t, client)
	last := begin(t, store, "k", time.Minute, idempotency.Fresh)
	greater := func(why string) {
		t.Helper()
		claim := begin(t, store, "k", time.Minute, idempotency.Fresh)
		if claim.Token <= last.Token {
			t.Errorf("%s: the token %d after %d", why, claim.Token, last.Token)
		}
		last = claim
	}
	if err := client.FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	greater("after FLUSHALL")
	if err := server.SetClock(t.Context(), -time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := store.Abandon(t.Context(), last); err != nil {
			t.Fatal(err)
		}
		greater("after the clock was set back")
	}
}

// A call that the client repeats, as its answer was lost, gets the same claim.
func TestRepeatedBegin(t *testing.T) {
	client := single(t, brokers.Redis(t, brokers.Redis8))
	store := newStore(t, client, Prefix(fmt.Sprintf("repeated:%d:", time.Now().UnixNano())))
	names := store.names([]byte("k"))
	var tokens []string
	for _, call := range []string{"one", "one", "two", "one"} {
		token, err := beginScript.Run(t.Context(), client, names, 60_000, call).Text()
		if err != nil {
			t.Fatal(err)
		}
		tokens = append(tokens, token)
	}
	if tokens[0] != tokens[1] || tokens[2] != "p" || tokens[3] != tokens[0] || len(tokens[0]) < 16 {
		t.Errorf("the answers are %q", tokens)
	}
}

// A call ends with its context, also if the server does not answer and the client would wait for long; or else when the
// client gives up.
func TestSilentServer(t *testing.T) {
	if brokers.IsGiven("redis") {
		t.Skip("the server is not the test's to disturb")
	}
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	waiting := func(timeout time.Duration) *Store {
		return newStore(t, closing(t, redis.NewClient(&redis.Options{Addr: server.Addr, ReadTimeout: timeout, MaxRetries: -1})))
	}
	patient, hasty := waiting(5*time.Minute), waiting(time.Second)
	claim := begin(t, patient, "k", time.Minute, idempotency.Fresh)
	thaw, err := server.Freezer(t)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer thaw()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	if err := patient.Extend(ctx, claim, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the error is %v", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("a call with a context of 50ms took %s", took)
	}
	if err := hasty.Extend(t.Context(), claim, time.Minute); err == nil || errors.Is(err, idempotency.ErrLost) {
		t.Errorf("a call to a server that does not answer ended with %v", err)
	}
}

// A server that may forget keys is refused, and one that is full says so.
func TestMemory(t *testing.T) {
	if brokers.IsGiven("redis") {
		t.Skip("the server is not the test's to disturb")
	}
	t.Parallel()
	client := single(t, brokers.NewRedis(t, brokers.Redis8))
	set := func(name, value string) {
		t.Helper()
		if err := client.ConfigSet(t.Context(), name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("maxmemory-policy", "allkeys-lru")
	newStore(t, client) // without a limit nothing is evicted
	set("maxmemory", "100mb")
	for _, policy := range []string{"allkeys-lru", "volatile-ttl"} {
		set("maxmemory-policy", policy)
		if _, err := New(t.Context(), client); err == nil || !strings.Contains(err.Error(), policy) || !strings.Contains(err.Error(), "noeviction") {
			t.Errorf("%s: the error is %v", policy, err)
		}
		newStore(t, client, AllowEviction())
	}
	set("maxmemory-policy", "noeviction")
	store := newStore(t, client)
	held := begin(t, store, "held", time.Minute, idempotency.Fresh)
	working := begin(t, store, "working", time.Minute, idempotency.Fresh)
	set("maxmemory", "1")
	_, _, err := store.Begin(t.Context(), "k", time.Minute)
	if !errors.Is(err, idempotency.ErrFull) {
		t.Errorf("a full server: %v", err)
	}
	if err := store.Abandon(t.Context(), held); err != nil {
		t.Errorf("give up a claim on a full server: %v", err)
	}
	if err := errors.Join(store.Extend(t.Context(), working, time.Minute), store.Complete(t.Context(), working, time.Minute)); err != nil {
		t.Errorf("renew and complete a claim on a full server: %v", err)
	}
	set("maxmemory", "0")
	begin(t, store, "working", time.Minute, idempotency.Done)
	begin(t, store, "k", time.Minute, idempotency.Fresh)
	begin(t, store, "held", time.Minute, idempotency.Fresh)
}

func TestMistakes(t *testing.T) {
	server := brokers.Redis(t, brokers.Redis8)
	client := single(t, server)
	for name, make := range map[string]func() (*Store, error){
		"no client":       func() (*Store, error) { return New(t.Context(), nil) },
		"no prefix":       func() (*Store, error) { return New(t.Context(), client, Prefix("")) },
		"a bad prefix":    func() (*Store, error) { return New(t.Context(), client, Prefix("a{b")) },
		"a long prefix":   func() (*Store, error) { return New(t.Context(), client, Prefix(strings.Repeat("k", 65))) },
		"the zero option": func() (*Store, error) { return New(t.Context(), client, Option{}) },
		"a ring": func() (*Store, error) {
			return New(t.Context(), closing(t, redis.NewRing(&redis.RingOptions{Addrs: map[string]string{"a": server.Addr}})))
		},
		"nobody listens": func() (*Store, error) {
			return New(t.Context(), closing(t, redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})))
		},
	} {
		if store, err := make(); err == nil || store != nil || !strings.HasPrefix(err.Error(), "idempotency/redisstore: ") {
			t.Errorf("%s: the store is %v, the error %v", name, store, err)
		}
	}
	store := newStore(t, client)
	if _, _, err := store.Begin(t.Context(), "k", 0); err == nil {
		t.Error("a claim for no time was taken")
	}
}
