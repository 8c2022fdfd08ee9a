package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// echo is a server that answers each line with it, and keeps the lines that came.
type echo struct {
	addr  string
	lines chan string
}

// serve starts one.
func serve(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{addr: l.Addr().String(), lines: make(chan string, 100)}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer c.Close()
				for s := bufio.NewScanner(c); s.Scan(); {
					e.lines <- s.Text()
					if _, err := io.WriteString(c, s.Text()+"\n"); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return e
}

// before puts a proxy before the server.
func before(t *testing.T, e *echo) *Proxy {
	t.Helper()
	p, err := Listen(e.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// dial connects through the proxy.
func dial(t *testing.T, p *Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// say writes a line.
func say(t *testing.T, c net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		t.Fatal(err)
	}
}

// hear reads a line, or returns an error after d.
func hear(c net.Conn, d time.Duration) (string, error) {
	if err := c.SetReadDeadline(time.Now().Add(d)); err != nil {
		return "", err
	}
	line, err := bufio.NewReaderSize(c, 16).ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

const (
	long  = 20 * time.Second
	short = 50 * time.Millisecond
)

// talk wants a line to be answered.
func talk(t *testing.T, c net.Conn, line string) {
	t.Helper()
	say(t, c, line)
	if got, err := hear(c, long); got != line || err != nil {
		t.Fatalf("the answer to %q is %q, %v", line, got, err)
	}
}

// silent wants nothing to come.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	var timeout net.Error
	if got, err := hear(c, short); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Fatalf("%q came, %v", got, err)
	}
}

func TestPasses(t *testing.T) {
	e := serve(t)
	p := before(t, e)
	one, two := dial(t, p), dial(t, p)
	talk(t, one, "1")
	talk(t, two, "2")
	if p.Calls() != 2 || p.Connections() != 2 {
		t.Errorf("%d calls on %d connections", p.Calls(), p.Connections())
	}
}

func TestHold(t *testing.T) {
	for d, arrives := range map[Direction]bool{Up: false, Down: true, Both: false} {
		e := serve(t)
		p := before(t, e)
		c := dial(t, p)
		talk(t, c, "first")
		<-e.lines
		p.Hold(d)
		say(t, c, "held")
		if arrives {
			<-e.lines
		}
		silent(t, c)
		if len(e.lines) > 0 {
			t.Errorf("direction %d: what was held came to the broker", d)
		}
		p.Hold(0)
		if got, err := hear(c, long); got != "held" || err != nil {
			t.Errorf("direction %d: after it: %q, %v", d, got, err)
		}
	}
}

func TestForget(t *testing.T) {
	e := serve(t)
	p := before(t, e)
	c := dial(t, p)
	talk(t, c, "first")
	p.Forget()
	say(t, c, "lost")
	silent(t, c)
	other := dial(t, p)
	talk(t, other, "other")
	if n := p.Lose(); n != 1 {
		t.Errorf("%d connections lost", n)
	}
	if _, err := hear(c, long); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("on the one that was forgotten: %v", err)
	}
	talk(t, other, "still there")
}

func TestDelay(t *testing.T) {
	p := before(t, serve(t))
	c := dial(t, p)
	talk(t, c, "first")
	p.Delay(short)
	begin := time.Now()
	talk(t, c, "late")
	if took := time.Since(begin); took < 2*short {
		t.Errorf("it took %s, want twice %s", took, short)
	}
	p.Delay(0)
	talk(t, c, "last")
}

func TestEndAndReset(t *testing.T) {
	for want, end := range map[error]func(*Proxy) int{io.EOF: (*Proxy).End, syscall.ECONNRESET: (*Proxy).Reset} {
		p := before(t, serve(t))
		c := dial(t, p)
		talk(t, c, "first")
		if n := end(p); n != 1 {
			t.Errorf("%d connections ended", n)
		}
		if _, err := hear(c, long); !errors.Is(err, want) {
			t.Errorf("after it: %v, want %v", err, want)
		}
		talk(t, dial(t, p), "other")
	}
}

func TestRefuse(t *testing.T) {
	p := before(t, serve(t))
	c := dial(t, p)
	talk(t, c, "first")
	if err := p.Refuse(); err != nil {
		t.Fatal(err)
	}
	if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connecting: %v", err)
	}
	talk(t, c, "goes on")
	if err := p.Accept(); err != nil {
		t.Fatal(err)
	}
	talk(t, dial(t, p), "again")
}

func TestIgnore(t *testing.T) {
	p := before(t, serve(t))
	c := dial(t, p)
	talk(t, c, "first")
	if err := p.Ignore(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), short)
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.Addr()); err == nil {
			silent(t, c) // where nothing better can be had
			c.Close()
		} else if timeout := (net.Error)(nil); !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("connecting ended at once: %v", err)
		}
		cancel()
	}
	talk(t, c, "goes on")
	if err := p.Accept(); err != nil {
		t.Fatal(err)
	}
	talk(t, dial(t, p), "again")
}

func TestCutAt(t *testing.T) {
	for _, cut := range []Cut{{Call: 2}, {Call: 2, After: true}, {Call: 2, ForGood: true}, {Call: 2, After: true, ForGood: true}} {
		e := serve(t)
		p := before(t, e)
		hit := p.CutAt(cut)
		c := dial(t, p)
		talk(t, c, "first")
		<-e.lines
		say(t, c, "second")
		if got, err := hear(c, long); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%+v: %q, %v", cut, got, err)
		}
		<-hit
		if cut.After {
			<-e.lines
		}
		if _, err := net.Dial("tcp", p.Addr()); (err != nil) != cut.ForGood {
			t.Errorf("%+v: connecting afterwards: %v", cut, err)
		}
		if !cut.ForGood {
			talk(t, dial(t, p), "third")
			if got := <-e.lines; got != "third" {
				t.Errorf("%+v: %q came to the broker", cut, got)
			}
		}
		if p.Calls() < 2 {
			t.Errorf("%d calls", p.Calls())
		}
	}
}

// A broker that is not there ends what a client has begun.
func TestNobodyThere(t *testing.T) {
	e := &echo{addr: "127.0.0.1:1"}
	c, err := net.Dial("tcp", before(t, e).Addr())
	if err == nil {
		defer c.Close()
		_, err = hear(c, long)
	}
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("connecting and reading: %v", err)
	}
}
