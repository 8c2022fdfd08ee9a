package redis

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestURL(t *testing.T) {
	base := func(edit func(c *config)) *config {
		c := &config{addrs: []string{"localhost:6379"}, dialTimeout: 5 * time.Second, timeout: 10 * time.Second, poolSize: 512, options: Options{DedupWindow: 24 * time.Hour}}
		if edit != nil {
			edit(c)
		}
		return c
	}
	for _, tt := range []struct {
		url  string
		want *config // nil where says is in the error
		says string
	}{
		{"redis://", base(nil), ""},
		{"redis://localhost", base(nil), ""},
		{"redis://u:p%40@h:1/3", base(func(c *config) { c.addrs, c.user, c.password, c.db = []string{"h:1"}, "u", "p@", 3 }), ""},
		{"redis://:p@h", base(func(c *config) { c.addrs, c.password = []string{"h:6379"}, "p" }), ""},
		{"redis://[::1]:7/", base(func(c *config) { c.addrs = []string{"[::1]:7"} }), ""},
		{"redis://h?dial_timeout=1s&timeout=2s&pool_size=9&dedup_window=1h&eviction=allow", base(func(c *config) {
			c.addrs, c.dialTimeout, c.timeout, c.poolSize, c.options = []string{"h:6379"}, time.Second, 2*time.Second, 9, Options{time.Hour, true}
		}), ""},
		{"rediss://h", base(func(c *config) {
			c.addrs, c.tls = []string{"h:6379"}, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "h"}
		}), ""},
		{"rediss://h?tls_server_name=x", base(func(c *config) {
			c.addrs, c.tls = []string{"h:6379"}, &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "x"}
		}), ""},
		{"redis+cluster://a:1?addr=b:2&addr=c", base(func(c *config) { c.shape, c.addrs = "cluster", []string{"a:1", "b:2", "c:6379"} }), ""},
		{"redis+sentinel://u:p@a/2?addr=b&master=m&sentinel_user=su&sentinel_password=sp", base(func(c *config) {
			c.shape, c.addrs, c.master, c.user, c.password, c.db = "sentinel", []string{"a:26379", "b:26379"}, "m", "u", "p", 2
			c.sentinelUser, c.sentinelPassword = "su", "sp"
		}), ""},

		{"http://h", nil, "scheme"},
		{"redis+ring://h", nil, "scheme"},
		{"redis:h", nil, "form"},
		{"redis://h#f", nil, "form"},
		{"redis://h/x", nil, "database"},
		{"redis://h/-1", nil, "database"},
		{"redis+cluster://h/1", nil, "database 0 only"},
		{"redis+sentinel://h", nil, "master"},
		{"redis://h?master=m", nil, "unknown parameter master"},
		{"redis://h?addr=m", nil, "unknown parameter addr"},
		{"redis://h?tls_ca=/x", nil, "unknown parameter tls_ca"},
		{"redis://h?dedup_windw=1h", nil, "unknown parameter dedup_windw; known:"},
		{"redis://h?dedup_window=1ms", nil, "dedup_window"},
		{"redis://h?pool_size=1", nil, "pool_size"},
		{"redis://h?pool_size=8&pool_size=9", nil, "2 times"},
		{"redis://h?timeout=fast", nil, "timeout"},
		{"redis://h?eviction=yes", nil, "eviction"},
		{"redis://h:0", nil, "port"},
		{"redis://h:99999", nil, "port"},
		{"redis+cluster://h?addr=", nil, "host:port"},
		{"redis+cluster://h?addr=a/b", nil, "host:port"},
		{"redis+cluster://h?addr=u:secret@b", nil, "host:port"},
		{"rediss://h?tls_ca=/no/such/file", nil, "tls_ca cannot be read"},
		{"rediss://h?tls_ca=url_test.go", nil, "no certificate"},
		{"rediss://h?tls_cert=x", nil, "need each other"},
		{"rediss://h?tls_cert=/no/x&tls_key=/no/y", nil, "cannot be used"},
		{"redis://u:secret@h?x=1", nil, "unknown parameter x"},
		{"redis://u:secret/x@h", nil, ""},
		{"redis://u:secret\x7f@h", nil, ""},
		{"redis://u:secret%zz@h", nil, ""},
	} {
		u, err := url.Parse(tt.url)
		var got *config
		if err == nil {
			got, err = parseURL(u)
		} else {
			_, err = Open(context.Background(), tt.url)
		}
		if tt.want != nil {
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %+v, %v\nwant %+v", tt.url, got, err, tt.want)
			}
			continue
		}
		if !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.url, err)
		}
		if _, err2 := Open(context.Background(), tt.url); err2 == nil || strings.Contains(fmt.Sprintf("%v%#v%v", err, err, err2), "secret") {
			t.Errorf("%s: the error tells the password: %v, %v", tt.url, err, err2)
		}
	}
}
