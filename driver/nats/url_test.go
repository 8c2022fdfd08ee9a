package nats

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/batch-go/batch/driver"
)

func TestParse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := pair.Seed()
	if err != nil {
		t.Fatal(err)
	}
	nkey := filepath.Join(t.TempDir(), "nkey")
	if err := os.WriteFile(nkey, seed, 0o600); err != nil {
		t.Fatal(err)
	}
	for raw, check := range map[string]func(c *config) bool{
		"nats://": func(c *config) bool { return slices.Equal(c.servers, []string{"nats://localhost:4222"}) },
		"nats://a,b:1?addr=[::1]:2": func(c *config) bool {
			return slices.Equal(c.servers, []string{"nats://a:4222", "nats://b:1", "nats://[::1]:2"})
		},
		"tls://a?addr=b:1": func(c *config) bool {
			return slices.Equal(c.servers, []string{"tls://a:4222", "tls://b:1"}) && c.tls != nil
		},
		"nats+tls://a":                  func(c *config) bool { return c.tls != nil && c.servers[0] == "tls://a:4222" },
		"nats://u:p%2F@a":               func(c *config) bool { return c.user == "u" && c.password == "p/" && c.token == "" },
		"nats://word@a":                 func(c *config) bool { return c.token == "word" && c.user == "" },
		"nats://a?token=word":           func(c *config) bool { return c.token == "word" },
		"nats://a?creds=" + file:        func(c *config) bool { return c.creds == file },
		"nats://a?nkey=" + nkey:         func(c *config) bool { return c.client().Nkey != "" },
		"nats://a?replicas=3&prefix=x":  func(c *config) bool { return c.options.Replicas == 3 && c.options.Prefix == "x" },
		"nats://a?dedup_window=1h":      func(c *config) bool { return c.options.DedupWindow == time.Hour },
		"nats://a?group_commit=true":    func(c *config) bool { return c.options.GroupCommit },
		"nats://a?dial_timeout=1s":      func(c *config) bool { return c.dial == time.Second && c.client().Timeout == time.Second },
		"nats://a?domain=hub&name=mail": func(c *config) bool { return c.options.Domain == "hub" && c.client().Name == "mail" },
		"tls://a?tls_server_name=b":     func(c *config) bool { return c.client().TLSConfig.ServerName == "b" && c.client().Secure },
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		c, err := parseURL(u)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if !check(c) {
			t.Errorf("%s was read as %+v", raw, c)
		}
		if o := c.client(); o.AllowReconnect || o.RetryOnFailedConnect {
			t.Errorf("%s: the client library would dial with its lock held, or hold messages back", raw)
		}
	}
	const secret = "topsecret"
	for raw, word := range map[string]string{
		"http://a":                                      "scheme",
		"nats:a":                                        "form",
		"nats://u:" + secret + "@a/path":                "form",
		"nats://u:" + secret + "@a?token=x":             "exclude",
		"nats://u:" + secret + "@a?nonsense=1":          "nonsense",
		"nats://u:" + secret + "@a,b:0":                 "port",
		"nats://a,b/c":                                  "form",
		"nats://a?replicas=0":                           "replicas",
		"nats://a?replicas=6":                           "replicas",
		"nats://a?dedup_window=1ms":                     "dedup_window",
		"nats://a?dial_timeout=x":                       "dial_timeout",
		"nats://a?creds=/nowhere/x":                     "creds",
		"nats://a?nkey=/nowhere/x":                      "nkey",
		"nats://a?nkey=" + file:                         "nkey",
		"nats://a?creds=" + file + "&nkey=" + file:      "exclude",
		"tls://a?tls_ca=/nowhere/x":                     "tls_ca",
		"tls://a?tls_ca=" + file:                        "tls_ca",
		"tls://a?tls_cert=" + file:                      "tls_key",
		"tls://a?tls_cert=" + file + "&tls_key=" + file: "tls_cert",
		"nats://a?tls_ca=" + file:                       "tls_ca",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseURL(u)
		if !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), word) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for _, bad := range []Options{{Prefix: "a.b"}, {Prefix: strings.Repeat("x", 33)}, {Domain: "a b"}, {Replicas: -1}, {Replicas: 6}, {DedupWindow: time.Millisecond}, {DedupWindow: 365 * 24 * time.Hour}} {
		if err := bad.complete(); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	o := Options{DedupWindow: 1500 * time.Millisecond}
	if err := o.complete(); err != nil || o.Prefix != "batch" || o.DedupWindow != 2*time.Second {
		t.Errorf("completed to %+v, %v", o, err)
	}
	if _, err := Open(t.Context(), "nats://u:"+secret+"/x@a:port"); !errors.Is(err, driver.ErrConfig) || strings.Contains(err.Error(), secret) {
		t.Errorf("a URL that cannot be parsed: %v", err)
	}
}
