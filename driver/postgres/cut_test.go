package postgres

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/batch-go/batch/driver"
)

// deaf forwards to a server, and when it is armed cuts a connection in place of one of the server's next answers,
// which it has then given.
type deaf struct {
	address string
	left    atomic.Int64 // how many answers until then; it is not armed if it is below 1
}

// arm makes it cut in place of answer n from now.
func (p *deaf) arm(n int64) { p.left.Store(n) }

// newDeaf makes one that ends with the test.
func newDeaf(t *testing.T, address string) *deaf {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	target := u.Host
	u.Host = l.Addr().String()
	p := &deaf{address: withParams(t, u.String(), "sslmode", "disable")}
	var tasks sync.WaitGroup
	tasks.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			tasks.Go(func() { p.forward(client, target, &tasks) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close() // ends Accept
		tasks.Wait()
	})
	return p
}

// forward passes on what both sides say until one ends.
func (p *deaf) forward(client net.Conn, target string, tasks *sync.WaitGroup) {
	defer client.Close()
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	tasks.Go(func() {
		_, _ = io.Copy(server, client) // ends with either
		_ = server.(*net.TCPConn).CloseWrite()
	})
	answer := make([]byte, 64<<10)
	for {
		n, err := server.Read(answer)
		if err != nil || p.left.Add(-1) == 0 {
			return
		}
		if _, err := client.Write(answer[:n]); err != nil {
			return
		}
	}
}

// TestCutBeforeTheAnswer: when the connection ends between the commit and its answer, the fate of the call is
// unknown, and the driver goes on with another connection.
func TestCutBeforeTheAnswer(t *testing.T) {
	t.Parallel()
	own, _ := ownSchema(t, plainURL(t))
	p := newDeaf(t, own)
	d := openAt(t, p.address)
	d.bell.config, d.bell.poll, d.bell.forget = nil, func() { <-d.bell.done }, func() {} // no other answer is under way
	q := queue(t, d)
	c := consume(t, d, q)
	enqueue(t, d, q, message("a"))
	p.arm(1)
	results := d.Enqueue(testContext(t), q, []*driver.Message{message("b")})
	if err := results[0].Err; !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateUnknown {
		t.Errorf("Enqueue: %v, %s", err, driver.FateOf(err))
	}
	await(t, "the job that was stored", func() bool { return depth(t, d, q).Waiting == 2 })
	done(t, c, receive(t, c, 1)...) // prepares what settles
	got := receive(t, c, 1)
	p.arm(1)
	errs := c.Settle(testContext(t), []driver.Settlement{{Delivery: got[0], Outcome: driver.OutcomeDone}})
	if len(errs) != 1 || !errors.Is(errs[0], driver.ErrUnavailable) || driver.FateOf(errs[0]) != driver.FateUnknown {
		t.Errorf("Settle: %v", errs)
	}
	await(t, "the job that was settled", func() bool { return depth(t, d, q) == driver.Depth{} })
}
