package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// unfit are servers that are refused, and a part of the error.
var unfit = []struct {
	name   string
	answer func([]string) []byte
	kind   error
	says   string
}{
	{"wrong password", refuseOn("auth", "-WRONGPASS invalid username-password pair or user is disabled.\r\n"), driver.ErrUnauthorized, "password"},
	{"password needed", refuseOn("info", "-NOAUTH Authentication required.\r\n"), driver.ErrUnauthorized, "password"},
	{"too old", infoOf("redis_version:6.2.14"), driver.ErrUnsupported, "Redis 6.2.14 was found and 7.0 is needed"},
	{"no version", refuseOn("info", "$2\r\nhi\r\n"), driver.ErrUnsupported, "7.0"},
	{"sentinel", infoOf("redis_mode:sentinel"), driver.ErrConfig, "redis+sentinel"},
	{"cluster", infoOf("redis_mode:cluster"), driver.ErrConfig, "redis+cluster"},
	{"eviction", infoOf("maxmemory:1000", "maxmemory_policy:allkeys-lru"), driver.ErrUnsupported, "allkeys-lru"},
	{"hangs up", refuseOn("info", ""), driver.ErrUnavailable, "closed"},
	{"loading", refuseOn("info", "-LOADING Redis is loading the dataset in memory\r\n"), driver.ErrUnavailable, "loading"},
}

// refuseOn is a server that is fit, but for its reply to one command.
func refuseOn(command, reply string) func([]string) []byte {
	return func(words []string) []byte {
		if strings.EqualFold(words[0], command) {
			return []byte(reply)
		}
		return fit(func([]string) []byte { return []byte("+OK\r\n") })(words)
	}
}

// infoOf is a server that tells these lines of itself besides.
func infoOf(lines ...string) func([]string) []byte {
	return refuseOn("info", string(infoReply(lines...)))
}

func TestErrorsOfOpening(t *testing.T) {
	const secret = "s3cr3t/pw"
	for _, tt := range unfit {
		t.Run(tt.name, func(t *testing.T) {
			f := serve(t, tt.answer)
			_, err := Open(testContext(t), f.url("me:s3cr3t%2Fpw@"))
			if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.says) || driver.FateOf(err) != driver.FateNotStored {
				t.Errorf("the error is %v", err)
			}
			if strings.Contains(fmt.Sprintf("%v %#v", err, err), secret) {
				t.Errorf("the error tells the password: %#v", err)
			}
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		ln, _ := net.Listen("tcp", "127.0.0.1:0")
		ln.Close()
		_, err := Open(testContext(t), "redis://me:s3cr3t%2Fpw@"+ln.Addr().String())
		if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), ln.Addr().String()) || strings.Contains(err.Error(), secret) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("no such name", func(t *testing.T) {
		_, err := Open(testContext(t), "redis://nobody.invalid")
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("TLS against plain", func(t *testing.T) {
		f := serve(t, func([]string) []byte { return []byte("-ERR what\r\n") })
		_, err := Open(testContext(t), "rediss://"+f.ln.Addr().String()+"?dial_timeout=500ms")
		if !errors.Is(err, driver.ErrUnavailable) {
			t.Errorf("the error is %v", err)
		}
	})
	t.Run("allowed eviction", func(t *testing.T) {
		f := serve(t, infoOf("maxmemory:1000", "maxmemory_policy:allkeys-lru"))
		d, err := Open(testContext(t), f.url("")+"?eviction=allow")
		if err != nil {
			t.Fatal(err)
		}
		closeDriver(t, d)
	})
}

func TestNewRefusesWhatItCannotUse(t *testing.T) {
	ring := goredis.NewRing(&goredis.RingOptions{Addrs: map[string]string{"a": "127.0.0.1:1"}})
	defer ring.Close()
	if _, err := New(context.Background(), ring, Options{}); !errors.Is(err, driver.ErrConfig) {
		t.Error(err)
	}
	c := goredis.NewClient(&goredis.Options{Addr: "127.0.0.1:1"})
	defer c.Close()
	if _, err := New(context.Background(), c, Options{DedupWindow: time.Millisecond}); !errors.Is(err, driver.ErrConfig) {
		t.Error(err)
	}
}

func TestNewLeavesTheClientOpen(t *testing.T) {
	c := raw(t)
	if u, err := goredis.ParseURL(testURL(t)); err == nil {
		// As an application makes it: with RESP3, and with retries.
		c = goredis.NewClient(u)
		defer c.Close()
	}
	d, err := New(testContext(t), c, Options{})
	if err != nil {
		t.Fatal(err)
	}
	q := queue(t, d)
	enqueue(t, d, q, message("a"))
	cons := consume(t, d, q, time.Minute)
	done(t, cons, receive(t, cons, 1)...)
	var ms []*driver.Message
	for i := range 300 {
		ms = append(ms, message(fmt.Sprint(i)))
	}
	enqueue(t, d, q, ms...)
	for range 3 {
		done(t, cons, receive(t, cons, 100)...)
	}
	nothing(t, cons, 20*time.Millisecond)
	depth(t, d, q, driver.Depth{})
	_ = d.DeleteQueue(testContext(t), q)
	closeDriver(t, d)
	if err := c.Ping(testContext(t)).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestInfo(t *testing.T) {
	d := open(t)
	i := d.Info()
	if i.Driver != "redis" || (i.Broker != "Redis" && i.Broker != "Valkey") || !strings.Contains(i.Version, ".") {
		t.Errorf("info is %+v", i)
	}
	v := reflect.ValueOf(i.Limits)
	for n := range v.NumField() {
		if name := v.Type().Field(n).Name; v.Field(n).IsZero() && name != "Pushes" { // it does not
			t.Errorf("Limits.%s is not set", v.Type().Field(n).Name)
		}
	}
	if i.Limits.EnqueueBytes < i.Limits.MaxBody+i.Limits.MaxHeaders {
		t.Error("the largest message does not fit")
	}
}

func TestDescribe(t *testing.T) {
	for info, want := range map[string]server{
		"redis_version:7.0.15\r\nredis_mode:standalone\r\nmaxmemory:0\r\n":                                               {product: "Redis", version: "7.0.15", mode: "standalone"},
		"redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nserver_mode:standalone\r\nmaxmemory:0\r\n": {product: "Valkey", version: "8.1.1", mode: "standalone"},
		"redis_version:8.0.2\nredis_mode:cluster\nmaxmemory:10\nmaxmemory_policy:allkeys-lru\n":                          {product: "Redis", version: "8.0.2", mode: "cluster", maxMemory: true, eviction: "allkeys-lru"},
	} {
		if got := describe(info); got != want {
			t.Errorf("%q is %+v", info, got)
		}
	}
}
