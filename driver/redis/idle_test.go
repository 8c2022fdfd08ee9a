package redis

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestClosedWhileIdle: a connection that the server closed while nobody used it is left
// out before a call is sent on it, with TLS and without. The server knows of the end before the
// client does, so a call may be quicker than the news: its fate is unknown then. Nearly all are not.
func TestClosedWhileIdle(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) *brokers.Instance{
		"plain": func(t *testing.T) *brokers.Instance { return brokers.NewRedis(t, brokers.Redis8) },
		"tls":   func(t *testing.T) *brokers.Instance { return brokers.NewRedisTLS(t, brokers.Redis8) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := start(t)
			address := server.URL()
			if server.TLS != nil {
				file := filepath.Join(t.TempDir(), "ca.pem")
				if err := os.WriteFile(file, server.CA, 0o600); err != nil {
					t.Fatal(err)
				}
				address = withParam(t, address, "tls_ca", file)
			}
			d := openAt(t, address)
			// This one does what the idle timeout of a server does, and is not idle itself.
			admin := rawAt(t, address).(*goredis.Client).Conn()
			defer admin.Close()
			q := queue(t, d)
			const calls, quick = 20, 4
			stored := 0
			for i := range calls {
				var err error
				for _, r := range d.Enqueue(testContext(t), q, []*driver.Message{message(fmt.Sprint(i))}) {
					err = r.Err
				}
				switch {
				case err == nil:
					stored++
				case !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateUnknown:
					t.Fatalf("enqueue %d: %v", i, err)
				default:
					t.Logf("enqueue %d was quicker than the news: %v", i, err)
				}
				if err := admin.ClientKillByFilter(testContext(t), "TYPE", "normal", "SKIPME", "yes").Err(); err != nil {
					t.Fatal(err)
				}
				eventually(t, "the others to be gone", func() bool {
					list, err := admin.ClientList(testContext(t)).Result()
					return err == nil && strings.Count(list, "\n") == 1
				})
			}
			if stored < calls-quick {
				t.Errorf("%d of %d calls succeeded, want nearly all", stored, calls)
			}
			if got, err := d.Depth(testContext(t), q); err != nil || got.Waiting < int64(stored) || got.Waiting > calls {
				t.Errorf("depth is %+v, %v, want %d to %d jobs that wait", got, err, stored, calls)
			}
		})
	}
}

// TestResetWhileIdle: so is one that something between reset.
func TestResetWhileIdle(t *testing.T) {
	f := serve(t, fit(func([]string) []byte { return []byte(":1\r\n") }))
	d := openAt(t, f.url(""))
	for i := range 5 {
		enqueue(t, d, "q", message(fmt.Sprint(i)))
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		f.conns = nil
		f.mu.Unlock()
	}
}
