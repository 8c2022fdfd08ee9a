package redis_test

import (
	"context"
	"crypto/tls"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
)

// TestConformance runs the suite on every version of Redis and Valkey that the
// driver supports, each in a container of its own, which the suite crashes and
// freezes in the end. Valkey speaks TLS, and has a password: what those change has
// nothing to do with the version.
func TestConformance(t *testing.T) {
	for _, version := range brokers.RedisVersions() {
		name, secure := string(version), version == brokers.Valkey8
		if secure {
			name += "-tls"
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var server *brokers.Instance
			var address string
			// The newest runs with the rights that the package documentation lists, and no others.
			var user []string
			if version == brokers.Redis8 {
				user = append([]string{"--user", "batch", "on", ">password"}, redis.LeastRights(t)...)
			}
			if secure {
				server = brokers.NewRedisTLS(t, version)
				address = tlsURL(t, server)
			} else {
				server = brokers.OwnOrRedis(t, version, user...)
				address = server.URL()
			}
			if user != nil && server.Ours() {
				address = strings.Replace(address, "redis://", "redis://batch:password@", 1)
			}
			h := harness(t, address, server.String(), server.TLS)
			if version != brokers.Redis8 {
				h.LikeAnother()
			}
			if server.Ours() {
				h.Restart = server.Crash
				h.Freeze = server.Freezer(t)
				h.Cut = func(ctx context.Context) error {
					raw := goredis.NewClient(&goredis.Options{Addr: server.Addr, Password: server.Password, TLSConfig: server.TLS})
					defer raw.Close()
					return raw.ClientKillByFilter(ctx, "TYPE", "normal", "SKIPME", "yes").Err()
				}
			}
			conformance.Run(t, h)
		})
	}
}

// TestConformanceTopologies runs the suite on a cluster of three, and on a primary that a
// sentinel names.
func TestConformanceTopologies(t *testing.T) {
	brokers.SkipGiven(t, "redis")
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		cluster := brokers.RedisCluster(t, brokers.Redis8)
		conformance.Run(t, harness(t, severalURL("redis+cluster", cluster.Addrs(), nil), cluster.String(), nil))
	})
	t.Run("sentinel", func(t *testing.T) {
		t.Parallel()
		sentinel := brokers.RedisSentinel(t, brokers.Redis8)
		conformance.Run(t, harness(t, severalURL("redis+sentinel", sentinel.Addrs(), url.Values{"master": {sentinel.MasterName}}), sentinel.String(), nil))
	})
}

// harness is for a server that the URL opens. The configuration of TLS is for what opens it
// without batch, nil if the server speaks plain TCP.
func harness(t *testing.T, address, name string, secure *tls.Config) conformance.Harness {
	t.Helper()
	address += separator(address) + "dedup_window=3s" // a window that a case can wait for
	h := conformance.Harness{
		Parallel: 32,
		Open:     func(ctx context.Context) (driver.Driver, error) { return redis.Open(ctx, address) },
		URL:      address,
		Broker:   name,
	}
	if u, err := url.Parse(address); err == nil && (u.Scheme == "redis" || u.Scheme == "rediss") {
		h.Addr = u.Host
		h.OpenAt = func(ctx context.Context, addr string) (driver.Driver, error) {
			other := *u
			other.Host = addr
			return redis.Open(ctx, other.String())
		}
	}
	if strings.HasPrefix(address, "redis://") || secure != nil {
		options, err := goredis.ParseURL(strings.SplitN(address, "?", 2)[0])
		if err != nil {
			t.Fatal(err)
		}
		options.TLSConfig = secure
		h.Foreign = func(ctx context.Context, queue string, body []byte) error {
			raw := goredis.NewClient(options)
			defer raw.Close()
			return raw.XAdd(ctx, &goredis.XAddArgs{Stream: "batch:{" + queue + "}:normal", Values: []any{"body", body}}).Err()
		}
	}
	return h
}

func separator(address string) string {
	if strings.Contains(address, "?") {
		return "&"
	}
	return "?"
}

// severalURL names the first address as the host and the others as parameters.
func severalURL(scheme string, addresses []string, params url.Values) string {
	if params == nil {
		params = url.Values{}
	}
	for _, a := range addresses[1:] {
		params.Add("addr", a)
	}
	u := url.URL{Scheme: scheme, Host: addresses[0], RawQuery: params.Encode()}
	return u.String()
}

// tlsURL names the instance's certificate authority by a file.
func tlsURL(t *testing.T, server *brokers.Instance) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, server.CA, 0o600); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.RawQuery = url.Values{"tls_ca": {file}}.Encode()
	return u.String()
}
