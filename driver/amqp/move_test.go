package amqp

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// confirmer stands before a broker and lets only so many of its confirms through.
type confirmer struct {
	listener net.Listener
	broker   string
	confirms uint64
	// acks has one for each acknowledgement that a client sends.
	acks chan struct{}

	mu    sync.Mutex // guards following
	conns []net.Conn
	// sent is how many frames of each method clients have sent.
	sent  map[uint32]int
	tasks sync.WaitGroup
}

// newConfirmer begins to listen before the broker at an address.
func newConfirmer(t *testing.T, broker string, confirms uint64) *confirmer {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &confirmer{listener: listener, broker: broker, confirms: confirms, acks: make(chan struct{}, 1000), sent: make(map[uint32]int)}
	p.tasks.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", broker)
			if err != nil {
				_ = client.Close()
				return
			}
			p.mu.Lock()
			p.conns = append(p.conns, client, server)
			p.mu.Unlock()
			p.tasks.Go(func() { p.copy(server, client, 8, p.count) })
			p.tasks.Go(func() { p.copy(client, server, 0, p.limitConfirm) })
		}
	})
	t.Cleanup(p.cut)
	return p
}

// cut ends all connections, and makes no others.
func (p *confirmer) cut() {
	_ = p.listener.Close()
	p.mu.Lock()
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.mu.Unlock()
	p.tasks.Wait()
}

// copy copies a greeting of so many bytes, and then those frames of which pass says so.
func (p *confirmer) copy(to io.WriteCloser, from io.Reader, greeting int64, pass func(payload []byte) bool) {
	defer to.Close()
	if _, err := io.CopyN(to, from, greeting); err != nil {
		return
	}
	for {
		frame := make([]byte, frameHead)
		if _, err := io.ReadFull(from, frame); err != nil {
			return
		}
		frame = append(frame, make([]byte, binary.BigEndian.Uint32(frame[3:])+1)...)
		if _, err := io.ReadFull(from, frame[frameHead:]); err != nil {
			return
		}
		if frame[0] == methodFrame && !pass(frame[frameHead:]) {
			continue
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// isAck tells basic.ack.
func isAck(payload []byte) bool {
	return binary.BigEndian.Uint32(payload) == 60<<16|80
}

// count counts what a client sends.
func (p *confirmer) count(payload []byte) bool {
	p.mu.Lock()
	p.sent[binary.BigEndian.Uint32(payload)]++
	p.mu.Unlock()
	if isAck(payload) {
		p.acks <- struct{}{}
	}
	return true
}

// limitConfirm lets the first confirms through, also those of a message for several.
func (p *confirmer) limitConfirm(payload []byte) bool {
	if !isAck(payload) {
		return true
	}
	tag, multiple := binary.BigEndian.Uint64(payload[4:]), payload[12] != 0
	if tag > p.confirms && multiple {
		binary.BigEndian.PutUint64(payload[4:], p.confirms)
		return true
	}
	return tag <= p.confirms
}

// The mover acknowledges a job as soon as its next queue has confirmed it, and not when
// all of them are: a connection that ends in between doubles only the others. Each of 30
// jobs ran twice before.
func TestMoverAcknowledgesAsConfirmed(t *testing.T) {
	const jobs, confirms = 30, 15
	d := open(t)
	q := queue(t, d)
	n := newNames(q)
	items := make([]*publication, jobs)
	for i := range items {
		m := encode(message(fmt.Sprint(i)), history{})
		m.Headers[hLeft] = int64(0)
		items[i] = &publication{queue: n.hop, message: m}
	}
	if d.publish(testContext(t), items); items[0].err != nil {
		t.Fatal(items[0].err)
	}
	u := testURL(t)
	at := strings.LastIndex(u, "@")
	p := newConfirmer(t, strings.TrimRight(u[at+1:], "/"), confirms)
	moving, err := Open(testContext(t), u[:at+1]+p.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	consume(t, moving, q, 1)
	patience := time.NewTimer(bound)
	defer patience.Stop()
	for i := range confirms {
		select {
		case <-p.acks:
		case <-patience.C:
			t.Fatalf("%d of %d jobs are acknowledged, and %d were confirmed", i, jobs, confirms)
		}
	}
	p.cut()
	_ = moving.Close(testContext(t))

	c := consume(t, d, q, 1)
	runs := make(map[string]int)
	for range jobs + jobs - confirms {
		got := receive(t, c)
		runs[got.ID]++
		settle(t, c, driver.Settlement{Delivery: got, Outcome: driver.OutcomeDone})
	}
	if depth, err := d.Depth(testContext(t), q); err != nil || len(runs) != jobs || depth.Waiting+depth.Scheduled != 0 {
		t.Errorf("%d of %d jobs ran, and %+v are left, %v", len(runs), jobs, depth, err)
	}
}
