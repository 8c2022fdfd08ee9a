package amqp

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestOpenRefused(t *testing.T) {
	t.Parallel() // it waits for those who do not answer
	server := brokers.RabbitMQ(t, brokers.RabbitMQ4)
	nobody := "amqp://127.0.0.1:1"
	for what, c := range map[string]struct {
		url  string
		kind error
	}{
		"a wrong password":  {"amqp://guest:secret-word@" + server.Addr, driver.ErrUnauthorized},
		"a missing vhost":   {strings.TrimSuffix(server.URL(), "/") + "/missing", driver.ErrUnauthorized},
		"nobody there":      {nobody, driver.ErrUnavailable},
		"a wrong parameter": {"amqp://guest:secret-word@host/?x=1", driver.ErrConfig},
	} {
		if d, err := Open(testContext(t), c.url); !errors.Is(err, c.kind) {
			if err == nil {
				closeDriver(t, d)
			}
			t.Errorf("open with %s: the error is %v, want one that wraps %q", what, err, c.kind)
		} else if strings.Contains(err.Error(), "secret-word") {
			t.Errorf("open with %s: the error has the password: %v", what, err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Open(ctx, server.URL()); !errors.Is(err, context.Canceled) {
		t.Errorf("open with a ctx that ended: %v", err)
	}
}

func TestParse(t *testing.T) {
	for raw, want := range map[string]string{
		"amqp://h":                   "/",
		"amqp://h/":                  "/",
		"amqp://h/%2F":               "/",
		"amqp://h/a%2Fb":             "a/b",
		"amqp://h/jobs?heartbeat=3s": "jobs",
	} {
		c, err := parseRawURL(raw)
		if err != nil || c.vhost != want || c.addrs[0] != "h:5672" {
			t.Errorf("parse %s: %+v, %v", raw, c, err)
		}
	}
	for _, raw := range []string{
		"http://h", "amqp:h", "amqp://h/a/b", "amqp://h?priority=high", "amqp://h?auth=external", "amqp://h:70000",
		"amqp://h?tls_ca=x", "amqps://h?tls_cert=x", "amqps://h?tls_ca=/missing", "amqp://h?addr=", "amqp://h?heartbeat=1ms", "amqp://h#x", "amqp://%zz",
	} {
		if _, err := parseRawURL(raw); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("parse %s: the error is %v, want one that wraps %q", raw, err, driver.ErrConfig)
		}
	}
}

func TestFit(t *testing.T) {
	for _, c := range []struct {
		product, version string
		shape            shape
		fit              bool
	}{
		{"RabbitMQ", "4.0.5", shapePlain, true},
		{"RabbitMQ", "4.3.0-rc.1", shapeQuorum, true},
		{"RabbitMQ", "5.0.0", shapeQuorum, true},
		{"RabbitMQ", "4.2.9", shapeQuorum, false},
		{"RabbitMQ", "4.0.5", shapeClassic, true},
		{"RabbitMQ", "3.13.7", shapePlain, false},
		{"RabbitMQ", "", shapePlain, false},
		{"LavinMQ", "4.3.0", shapePlain, false},
	} {
		err := check(c.product, c.version, c.shape)
		if (err == nil) != c.fit || err != nil && (!errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), c.version)) {
			t.Errorf("check(%q, %q, %s) = %v", c.product, c.version, c.shape, err)
		}
	}
}
