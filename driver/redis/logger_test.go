package redis

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// lines collects what is logged.
type lines struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

// Write adds a line.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is what there is.
func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// logTo has the driver's logger write to lines until the test ends.
func logTo(t *testing.T) *lines {
	out := new(lines)
	goredis.SetLogger(newLogger(out))
	t.Cleanup(func() { goredis.SetLogger(&logging.VoidLogger{}) })
	return out
}

// closedPort is an address at which nobody listens.
func closedPort(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	return ln.Addr().String()
}

// outages start servers of a test's own, which stop is to end.
var outages = map[string]func(t *testing.T) (address string, stop []*brokers.Instance){
	"outage": func(t *testing.T) (string, []*brokers.Instance) {
		server := brokers.NewRedis(t, brokers.Redis8)
		return server.URL(), []*brokers.Instance{server}
	},
	"outage of a cluster": func(t *testing.T) (string, []*brokers.Instance) {
		cluster := brokers.NewRedisCluster(t, brokers.Redis8)
		return clusterURL(cluster.Addrs()), cluster.Nodes
	},
	"outage of sentinel and all": func(t *testing.T) (string, []*brokers.Instance) {
		s := brokers.NewRedisSentinel(t, brokers.Redis8)
		return "redis+sentinel://" + s.Addrs()[0] + "?master=" + s.MasterName, []*brokers.Instance{s.Master, s.Replica, s.Monitor}
	},
}

// TestTheDriverIsSilent while its server is away, is not there, or has another role.
func TestTheDriverIsSilent(t *testing.T) {
	for name, start := range outages {
		t.Run(name, func(t *testing.T) {
			address, servers := start(t)
			out := logTo(t)
			d := openAt(t, withParam(t, address, "dial_timeout", "200ms"))
			q := queue(t, d)
			c := consume(t, d, q, time.Second)
			waiting := background(testContext(t), c, 1)
			for _, server := range servers {
				if err := server.Stop(testContext(t)); err != nil {
					t.Fatal(err)
				}
			}
			for range 20 {
				if err := d.Enqueue(testContext(t), q, []*driver.Message{message("a")})[0].Err; !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("enqueue: %v", err)
				}
				if _, err := d.ListQueues(testContext(t)); !errors.Is(err, driver.ErrUnavailable) {
					t.Errorf("list queues: %v", err)
				}
			}
			if got := <-waiting; !errors.Is(got.err, driver.ErrUnavailable) {
				t.Errorf("receive: %v", got.err)
			}
			if s := out.String(); s != "" {
				t.Errorf("it logged\n%s", s)
			}
		})
	}
	for name, address := range map[string]func() string{
		"no server":   func() string { return "redis://" + closedPort(t) },
		"no cluster":  func() string { return clusterURL([]string{closedPort(t), closedPort(t)}) },
		"no sentinel": func() string { return "redis+sentinel://" + closedPort(t) + "?master=m&addr=" + closedPort(t) },
		"no TLS":      func() string { return "rediss" + testURL(t)[len("redis"):] },
		"no master": func() string {
			return "redis+sentinel://" + brokers.RedisSentinel(t, brokers.Redis8).Addrs()[0] + "?master=nobody"
		},
	} {
		t.Run(name, func(t *testing.T) {
			address := address()
			out := logTo(t)
			if d, err := Open(testContext(t), address); err == nil {
				closeDriver(t, d)
				t.Error("it opened")
			}
			if s := out.String(); s != "" {
				t.Errorf("it logged\n%s", s)
			}
		})
	}
	t.Run("sentinel", func(t *testing.T) {
		sentinel := brokers.RedisSentinel(t, brokers.Redis8)
		out := logTo(t)
		d := openAt(t, "redis+sentinel://"+closedPort(t)+"?master="+sentinel.MasterName+"&addr="+sentinel.Addrs()[0])
		q := queue(t, d)
		enqueue(t, d, q, message("a"))
		if s := out.String(); s != "" {
			t.Errorf("it logged\n%s", s)
		}
	})
}

// TestOtherClientsLog: what go-redis says of the application's own clients is written as
// it writes it by itself.
func TestOtherClientsLog(t *testing.T) {
	out := logTo(t)
	c := goredis.NewClient(&goredis.Options{Addr: closedPort(t), DialerRetries: 1, MaxRetries: -1})
	defer c.Close()
	if err := c.Ping(context.Background()).Err(); err == nil {
		t.Fatal("it answered")
	}
	form := regexp.MustCompile(`^redis: \d{4}/\d\d/\d\d \d\d:\d\d:\d\d pool\.go:\d+: redis: connection pool: failed to dial after 1 attempts: dial tcp .*refused\n$`)
	if s := out.String(); !form.MatchString(s) {
		t.Errorf("it logged %q", s)
	}
	newLogger(out).Printf(context.Background(), "%s and %v", "x", fmt.Errorf("wrapped: %w", dialError{errors.New("y")}))
	if s := out.String(); !form.MatchString(s) {
		t.Errorf("it logged %q", s)
	}
}
