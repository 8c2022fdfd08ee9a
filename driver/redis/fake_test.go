package redis

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// fake is a server that answers each command as a test says, for what a real one
// does not do on demand. No test uses it to show that something works.
type fake struct {
	ln    net.Listener
	mu    sync.Mutex // guards conns
	conns []net.Conn
	wg    sync.WaitGroup
}

// serve starts a fake. answer gets the words of a command and returns the reply;
// an empty one closes the connection, and nil never answers.
func serve(t *testing.T, answer func(words []string) []byte) *fake {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fake{ln: ln}
	f.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.mu.Lock()
			f.conns = append(f.conns, c)
			f.mu.Unlock()
			f.wg.Go(func() {
				defer c.Close()
				r := bufio.NewReader(c)
				for {
					words, err := readCommand(r)
					if err != nil {
						return
					}
					reply := answer(words)
					if reply == nil {
						_, _ = io.Copy(io.Discard, r)
						return
					}
					if _, err := c.Write(reply); err != nil || len(reply) == 0 {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			c.Close()
		}
		f.mu.Unlock()
		f.wg.Wait()
	})
	return f
}

// readCommand reads one command.
func readCommand(r *bufio.Reader) ([]string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if err != nil {
		return nil, err
	}
	words := make([]string, n)
	for i := range words {
		if line, err = r.ReadString('\n'); err != nil {
			return nil, err
		}
		size, err := strconv.Atoi(strings.TrimSpace(line[1:]))
		if err != nil {
			return nil, err
		}
		buf := make([]byte, size+2)
		if _, err := io.ReadFull(r, buf); err != nil {
			return nil, err
		}
		words[i] = string(buf[:size])
	}
	return words, nil
}

// bulk is a reply of one string.
func bulk(s string) []byte { return encodeReply(nil, s) }

// infoReply is the reply to INFO of a server that is fit, but for the lines.
func infoReply(lines ...string) []byte {
	return bulk(strings.Join(append([]string{"# Server", "redis_version:7.0.15", "redis_mode:standalone", "maxmemory:0", "maxmemory_policy:noeviction"}, lines...), "\r\n"))
}

// fit answers what opening asks, and leaves other commands to rest.
func fit(rest func(words []string) []byte) func(words []string) []byte {
	return func(words []string) []byte {
		switch strings.ToLower(words[0]) {
		case "info":
			return infoReply()
		case "hello":
			return []byte("-ERR unknown command 'HELLO'\r\n")
		case "config":
			return []byte("*0\r\n")
		case "client", "select", "auth":
			return []byte("+OK\r\n")
		}
		return rest(words)
	}
}

// url is the URL of the fake.
func (f *fake) url(user string) string { return "redis://" + user + f.ln.Addr().String() }

// TestErrorsOfTheServer: what each reply or failure becomes, through the client.
func TestErrorsOfTheServer(t *testing.T) {
	for _, tt := range []struct {
		name, reply string
		kind        error
		fate        driver.Fate
	}{
		{"loading", "-LOADING Redis is loading the dataset in memory\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"replica", "-READONLY You can't write against a read only replica.\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"cluster down", "-CLUSTERDOWN The cluster is down\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"primary down", "-MASTERDOWN Link with MASTER is down\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"try again", "-TRYAGAIN Multiple keys request during rehashing of slot\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"moved", "-MOVED 3999 127.0.0.1:6381\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"disk", "-MISCONF Errors writing to the AOF file\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"replicas", "-NOREPLICAS Not enough good replicas to write.\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"busy", "-BUSY Redis is busy running a script.\r\n", driver.ErrUnavailable, driver.FateNotStored},
		{"memory", "-OOM command not allowed when used memory > 'maxmemory'. script: x, on @user_script:9.\r\n", driver.ErrFull, driver.FateNotStored},
		{"no auth", "-NOAUTH Authentication required.\r\n", driver.ErrUnauthorized, driver.FateNotStored},
		{"no permission", "-NOPERM this user has no permissions to run the 'xadd' command\r\n", driver.ErrUnauthorized, driver.FateNotStored},
		{"type", "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n", driver.ErrConflict, driver.FateNotStored},
		{"other", "-ERR something else\r\n", driver.ErrBroker, driver.FateUnknown},
		{"closed", "", driver.ErrUnavailable, driver.FateUnknown},
		{"garbage", "garbage\r\n", driver.ErrUnavailable, driver.FateUnknown},
		{"timeout", "none", driver.ErrUnavailable, driver.FateUnknown},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var mu sync.Mutex
			sent := make(map[string]int)
			f := serve(t, fit(func(words []string) []byte {
				mu.Lock()
				sent[words[0]]++
				mu.Unlock()
				if tt.reply == "none" {
					return nil
				}
				return append([]byte{}, tt.reply...)
			}))
			d, err := Open(testContext(t), f.url("")+"?timeout=200ms")
			if err != nil {
				t.Fatal(err)
			}
			defer closeDriver(t, d)
			err = d.Enqueue(testContext(t), "q", []*driver.Message{message("a")})[0].Err
			if !errors.Is(err, tt.kind) || driver.FateOf(err) != tt.fate {
				t.Errorf("the error is %v, %s", err, driver.FateOf(err))
			}
			var de *driver.Error
			if !errors.As(err, &de) || de.Queue != "q" || de.Op != "enqueue" || de.Driver != "redis" {
				t.Errorf("the error is %#v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			// Misdirected commands were not run, and the script is sent in their place, and
			// shown to the client library once; others are never sent again.
			want := map[string]int{"exists": 1, "xadd": 1, "copy": 1}
			if misdirected(serverError(strings.TrimPrefix(tt.reply, "-"))) {
				want["evalsha"] = 2
			}
			for name, n := range sent {
				if n > want[name] {
					t.Errorf("%s was sent %d times", name, n)
				}
			}
		})
	}
}

// TestFrozenServer: a server that takes commands and never answers holds up no
// call beyond its ctx, and Close cuts what is left.
func TestFrozenServer(t *testing.T) {
	f := serve(t, fit(func([]string) []byte { return nil }))
	d, err := Open(testContext(t), f.url("")+"?timeout=1m")
	if err != nil {
		t.Fatal(err)
	}
	c := consume(t, d, "q", time.Minute)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	held := []*driver.Delivery{{Receipt: &receipt{3, "1-1"}}}
	calls := map[string]func() error{
		"Enqueue": func() error { return d.Enqueue(ctx, "q", []*driver.Message{message("a")})[0].Err },
		"Atomic":  func() error { return d.EnqueueAtomic(ctx, "q", []*driver.Message{message("a")}) },
		"Declare": func() error { return d.Declare(ctx, "q") },
		"Depth":   func() error { _, err := d.Depth(ctx, "q"); return err },
		"Receive": func() error { _, err := c.Receive(ctx, 1); return err },
		"Settle": func() error {
			return c.Settle(ctx, []driver.Settlement{{Delivery: held[0], Outcome: driver.OutcomeDone}})[0]
		},
		"Extend": func() error { return c.Extend(ctx, held)[0] },
		"Pause":  func() error { return d.Pause(ctx, "q") },
	}
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			if err := call(); !errors.Is(err, context.DeadlineExceeded) || (name != "Receive" && driver.FateOf(err) != driver.FateUnknown) {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	wg.Wait()
	if took := time.Since(start); took > bound {
		t.Errorf("the calls took %s", took)
	}
	ctx, cancel = context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := d.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if took := time.Since(start); took > 2*bound {
		t.Errorf("Close ended after %s", took)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// TestMisdirected: the client library copes with a server that has become a
// replica, for which it has to read the error itself.
func TestMisdirected(t *testing.T) {
	var mu sync.Mutex
	n := 0
	f := serve(t, fit(func(words []string) []byte {
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 1 {
			return []byte("-READONLY You can't write against a read only replica.\r\n")
		}
		return []byte("*6\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n:6\r\n")
	}))
	d, err := Open(testContext(t), f.url(""))
	if err != nil {
		t.Fatal(err)
	}
	defer closeDriver(t, d)
	got, err := d.Depth(testContext(t), "q")
	if want := (driver.Depth{Waiting: 1, Scheduled: 2, Running: 3, Dead: 4, Due: 5, Age: 6 * time.Millisecond}); err != nil || got != want {
		t.Errorf("depth is %+v, %v; want %+v", got, err, want)
	}
}
