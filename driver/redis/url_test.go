package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// validURLs are URLs, and what they say beyond the defaults.
var validURLs = []struct {
	url  string
	edit func(c *config)
}{
	{"redis://", nil},
	{"redis://localhost", nil},
	{"redis://u:p%40@h:1/3", func(c *config) { c.addrs, c.user, c.password, c.db = []string{"h:1"}, "u", "p@", 3 }},
	{"redis://:p@h", func(c *config) { c.addrs, c.password = []string{"h:6379"}, "p" }},
	{"redis://[::1]:7/", func(c *config) { c.addrs = []string{"[::1]:7"} }},
	{"redis://h?dial_timeout=1s&timeout=2s&pool_size=9&dedup_window=1h&eviction=allow&wait_replicas=2&wait_aof=true&wait_timeout=1s", func(c *config) {
		c.addrs, c.dialTimeout, c.timeout, c.poolSize, c.options = []string{"h:6379"}, time.Second, 2*time.Second, 9,
			Options{DedupWindow: time.Hour, AllowEviction: true, WaitReplicas: 2, WaitAOF: true, WaitTimeout: time.Second}
	}},
	{"rediss://h", func(c *config) {
		c.addrs, c.tls = []string{"h:6379"}, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "h"}
	}},
	{"rediss://h?tls_server_name=x", func(c *config) {
		c.addrs, c.tls = []string{"h:6379"}, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "x"}
	}},
	{"redis+cluster://a:1?addr=b:2&addr=c", func(c *config) { c.shape, c.addrs = "cluster", []string{"a:1", "b:2", "c:6379"} }},
	{"redis+sentinel://u:p@a/2?addr=b&master=m&sentinel_user=su&sentinel_password=sp", func(c *config) {
		c.shape, c.addrs, c.master, c.user, c.password, c.db = "sentinel", []string{"a:26379", "b:26379"}, "m", "u", "p", 2
		c.sentinelUser, c.sentinelPassword = "su", "sp"
	}},
}

// invalidURLs are URLs that are refused, and a part of the error.
var invalidURLs = []struct{ url, says string }{
	{"http://h", "scheme"},
	{"redis+ring://h", "scheme"},
	{"redis:h", "form"},
	{"redis://h#f", "form"},
	{"redis://h/x", "database"},
	{"redis://h/-1", "database"},
	{"redis+cluster://h/1", "database 0 only"},
	{"redis+sentinel://h", "master"},
	{"redis://h?master=m", "unknown parameter master"},
	{"redis://h?addr=m", "unknown parameter addr"},
	{"redis://h?tls_ca=/x", "unknown parameter tls_ca"},
	{"redis://h?dedup_windw=1h", "unknown parameter dedup_windw; known:"},
	{"redis://h?dedup_window=1ms", "dedup_window"},
	{"redis://h?pool_size=1", "pool_size"},
	{"redis://h?pool_size=8&pool_size=9", "2 times"},
	{"redis://h?timeout=fast", "timeout"},
	{"redis://h?eviction=yes", "eviction"},
	{"redis://h?wait_replicas=-1", "wait_replicas"},
	{"redis://h?wait_aof=always", "wait_aof"},
	{"redis://h?wait_aof=true&wait_timeout=20s", "wait_timeout"},
	{"redis://h:0", "port"},
	{"redis://h:99999", "port"},
	{"redis+cluster://h?addr=", "host:port"},
	{"redis+cluster://h?addr=a/b", "host:port"},
	{"redis+cluster://h?addr=u:secret@b", "host:port"},
	{"rediss://h?tls_ca=/no/such/file", "tls_ca cannot be read"},
	{"rediss://h?tls_ca=url_test.go", "no certificate"},
	{"rediss://h?tls_cert=x", "need each other"},
	{"rediss://h?tls_cert=/no/x&tls_key=/no/y", "cannot be used"},
	{"redis://u:secret@h?x=1", "unknown parameter x"},
	{"redis://u:secret/x@h", ""},
	{"redis://u:secret\x7f@h", ""},
	{"redis://u:secret%zz@h", ""},
}

func TestURL(t *testing.T) {
	for _, tt := range validURLs {
		want := &config{addrs: []string{"localhost:6379"}, dialTimeout: 5 * time.Second, timeout: 10 * time.Second, poolSize: 512, options: Options{DedupWindow: 24 * time.Hour, WaitTimeout: 2 * time.Second}}
		if tt.edit != nil {
			tt.edit(want)
		}
		got, err := parsed(tt.url)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v\nwant %+v", tt.url, got, err, want)
		}
	}
	for _, tt := range invalidURLs {
		_, err := parsed(tt.url)
		if !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.url, err)
		}
		if _, err2 := Open(context.Background(), tt.url); err2 == nil || strings.Contains(fmt.Sprintf("%v%#v%v", err, err, err2), "secret") {
			t.Errorf("%s: the error tells the password: %v, %v", tt.url, err, err2)
		}
	}
}

// parsed parses a URL as Open does.
func parsed(raw string) (*config, error) {
	u, err := driver.ParseURL(Name, raw)
	if err != nil {
		return nil, err
	}
	return parseURL(u)
}

// TestPoolSize: the connections for pipelines are some of those that the user allows.
func TestPoolSize(t *testing.T) {
	for _, size := range []int{2, 3, 4, 39, 40, 512} {
		u, err := driver.ParseURL(Name, fmt.Sprintf("redis://localhost?pool_size=%d", size))
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseURL(u)
		if err != nil {
			t.Fatal(err)
		}
		client := c.client(newDialer(time.Second, nil, nil)).(*goredis.Client)
		defer client.Close()
		o := client.Options()
		if o.PipelinePoolSize == 0 || o.PoolSize+max(o.PipelinePoolSize, 0) != size || o.PoolSize < 2 {
			t.Errorf("of %d connections %d are for pipelines, and %d for the rest", size, o.PipelinePoolSize, o.PoolSize)
		}
	}
}
