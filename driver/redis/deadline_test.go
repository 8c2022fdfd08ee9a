package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/late"
)

// dropped is a port of this machine whose connections are neither taken nor refused, as
// behind a firewall that drops packets: its listener's queue is full.
func dropped(t *testing.T, address string) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	port := 0
	if address != "" {
		_, text, _ := net.SplitHostPort(address)
		_, _ = fmt.Sscan(text, &port)
	}
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address = fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 8 {
		c, err := net.DialTimeout("tcp", address, 50*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this system's listeners have no bound")
	return ""
}

// silent accepts connections and says nothing on them.
func silent(t *testing.T) string {
	return serve(t, func([]string) []byte { return nil }).ln.Addr().String()
}

const (
	// deadline is that of the calls, and overrun how long after it they may return on a
	// machine that is never late.
	deadline = 300 * time.Millisecond
	overrun  = 100 * time.Millisecond
)

// inTime checks that a call returns by its deadline, with an error.
func inTime(t *testing.T, what string, call func(ctx context.Context) error) {
	t.Helper()
	var took time.Duration
	var err error
	lateness := late.During(func() {
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		defer cancel()
		start := time.Now()
		err = call(ctx)
		took = time.Since(start)
	})
	if most := deadline + overrun + late.Steps*lateness; took > most {
		t.Errorf("%s returned after %s, at most %s is allowed: %v", what, took, most, err)
	}
	if err == nil {
		t.Errorf("%s had no error", what)
	}
}

// TestOpenInTime: whatever does not answer, Open returns by its deadline, and at once if
// it can be known.
func TestOpenInTime(t *testing.T) {
	for host, at := range map[string]func(t *testing.T) string{
		"dropped": func(t *testing.T) string { return dropped(t, "") },
		"silent":  silent,
		"refused": closedPort,
	} {
		for _, form := range []string{"redis://%s", "rediss://%s", "redis+cluster://%s?addr=%[1]s", "rediss+cluster://%s", "redis+sentinel://%s?master=m", "rediss+sentinel://%s?master=m"} {
			t.Run(host+" "+strings.SplitN(form, ":", 2)[0], func(t *testing.T) {
				t.Parallel()
				address := fmt.Sprintf(form, at(t))
				inTime(t, "Open", func(ctx context.Context) error {
					d, err := Open(ctx, address)
					if err == nil {
						closeDriver(t, d)
					} else if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
						t.Errorf("%v, %s", err, driver.FateOf(err))
					}
					return err
				})
			})
		}
	}
}

// vanishing is a server that can be opened in each shape, and then vanishes.
type vanishing struct {
	*fake
	frozen atomic.Bool
	answer func(words []string) []byte
}

// newVanishing starts one.
func newVanishing(t *testing.T) *vanishing {
	v := &vanishing{}
	var cluster atomic.Bool
	v.answer = func(words []string) []byte {
		if v.frozen.Load() {
			return nil
		}
		host, port, _ := net.SplitHostPort(v.ln.Addr().String())
		switch strings.ToLower(strings.Join(words[:min(len(words), 2)], " ")) {
		case "cluster slots":
			cluster.Store(true)
			return []byte("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$" + fmt.Sprint(len(host)) + "\r\n" + host + "\r\n:" + port + "\r\n")
		case "sentinel get-master-addr-by-name":
			return encodeReply(nil, []any{host, port})
		case "sentinel sentinels":
			return []byte("*0\r\n")
		}
		if cluster.Load() && strings.EqualFold(words[0], "info") {
			return infoReply("redis_mode:cluster")
		}
		return fit(func([]string) []byte { return nil })(words)
	}
	v.fake = serve(t, func(words []string) []byte { return v.answer(words) })
	return v
}

// reset breaks the connections that there are.
func (v *vanishing) reset() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, c := range v.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

// vanish is how it vanishes.
var vanish = map[string]func(t *testing.T, v *vanishing){
	"frozen": func(_ *testing.T, v *vanishing) { v.frozen.Store(true) },
	"dropped": func(t *testing.T, v *vanishing) {
		v.ln.Close()
		v.reset()
		dropped(t, v.ln.Addr().String())
	},
}

// TestCallsInTime: every call of the SPI returns by its deadline when the server has
// vanished, Close included: it does not wait for dials, handshakes or sentinels.
func TestCallsInTime(t *testing.T) {
	for how, vanish := range vanish {
		for _, form := range []string{"redis://%s?", "redis+cluster://%s?", "redis+sentinel://%s?master=m&"} {
			t.Run(how+" "+strings.SplitN(form, ":", 2)[0], func(t *testing.T) {
				t.Parallel()
				v := newVanishing(t)
				d, err := Open(testContext(t), fmt.Sprintf(form+"dial_timeout=20s&timeout=20s", v.ln.Addr()))
				if err != nil {
					t.Fatal(err)
				}
				c := consume(t, d, "q", time.Minute)
				vanish(t, v)
				var wg sync.WaitGroup
				for name, call := range everyCall(d, c) {
					wg.Go(func() { inTime(t, name, call) })
				}
				wg.Wait()
				inTime(t, "Stop", c.Stop)
				inTime(t, "Close of the consumer", c.Close)
				other := consume(t, d, "q", time.Minute)
				_ = background(testContext(t), other, 1)
				inTime(t, "Close", d.Close)
			})
		}
	}
}

// everyCall are the calls of the SPI that need the server.
func everyCall(d *Driver, c *consumer) map[string]func(ctx context.Context) error {
	held := []*driver.Delivery{{Receipt: &receipt{3, "1-1"}}}
	return map[string]func(ctx context.Context) error{
		"Declare":       func(ctx context.Context) error { return d.Declare(ctx, "q") },
		"DeleteQueue":   func(ctx context.Context) error { return d.DeleteQueue(ctx, "q") },
		"Enqueue":       func(ctx context.Context) error { return d.Enqueue(ctx, "q", many(1))[0].Err },
		"Enqueue later": func(ctx context.Context) error { return d.Enqueue(ctx, "q", many(600, delay(time.Hour)))[0].Err },
		"EnqueueAtomic": func(ctx context.Context) error { return d.EnqueueAtomic(ctx, "q", many(2)) },
		"Import": func(ctx context.Context) error {
			return d.Import(ctx, "q", entriesOf(many(600), driver.StateDead, 0))[0].Err
		},
		"Depth":       func(ctx context.Context) error { _, err := d.Depth(ctx, "q"); return err },
		"DeadLetters": func(ctx context.Context) error { _, _, err := d.DeadLetters(ctx, "q", "", 1); return err },
		"Redrive": func(ctx context.Context) error {
			_, err := d.Redrive(ctx, "q", driver.Selection{All: true})
			return err
		},
		"Discard": func(ctx context.Context) error {
			_, err := d.Discard(ctx, "q", driver.Selection{All: true})
			return err
		},
		"List":       func(ctx context.Context) error { _, _, err := d.List(ctx, "q", driver.StateDead, "", 1); return err },
		"Find":       func(ctx context.Context) error { _, err := d.Find(ctx, "q", "x"); return err },
		"Delete":     func(ctx context.Context) error { return d.Delete(ctx, "q", "x") },
		"Pause":      func(ctx context.Context) error { return d.Pause(ctx, "q") },
		"Resume":     func(ctx context.Context) error { return d.Resume(ctx, "q") },
		"Paused":     func(ctx context.Context) error { _, err := d.Paused(ctx, "q"); return err },
		"ListQueues": func(ctx context.Context) error { _, err := d.ListQueues(ctx); return err },
		"Purge":      func(ctx context.Context) error { _, err := d.Purge(ctx, "q"); return err },
		"Receive":    func(ctx context.Context) error { _, err := c.Receive(ctx, 1); return err },
		"Extend":     func(ctx context.Context) error { return c.Extend(ctx, held)[0] },
		"Settle": func(ctx context.Context) error {
			return c.Settle(ctx, []driver.Settlement{{Delivery: held[0], Outcome: driver.OutcomeDone}})[0]
		},
	}
}

// TestBlockedPopIsAskedAgain: a wait for a token that is never answered, as the server or
// the network between is frozen, costs seconds, however long the timeout of other commands
// is: it begins anew on another connection.
func TestBlockedPopIsAskedAgain(t *testing.T) {
	var asked atomic.Int64
	f := serve(t, fit(func(words []string) []byte {
		switch strings.ToLower(words[0]) {
		case "blpop":
			asked.Add(1)
			return nil
		case "evalsha":
			return []byte("*2\r\n:-1\r\n:0\r\n") // there is no job
		}
		return []byte("-ERR unexpected\r\n")
	}))
	d, err := Open(testContext(t), f.url("")+"?timeout=10m&dial_timeout=1m")
	if err != nil {
		t.Fatal(err)
	}
	c := consume(t, d, "q", time.Minute)
	c.member.listener.block, c.member.listener.patience = 20*time.Millisecond, 50*time.Millisecond
	_, err = c.Receive(testContext(t), 1)
	if !errors.Is(err, driver.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) || asked.Load() != 2 {
		t.Errorf("after %d pops: %v", asked.Load(), err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	_ = d.Close(ctx)
}
