package nats

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// member is what a client sees of one server of a cluster, until it is stopped.
type member struct {
	listener net.Listener
	told     string // the cluster's addresses, as JSON

	mu    sync.Mutex // guards following
	conns []net.Conn
}

// startCluster starts members that tell of each other.
func startCluster(t *testing.T, count int) []*member {
	t.Helper()
	members := make([]*member, count)
	var told []string
	for i := range members {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		members[i] = &member{listener: l}
		told = append(told, fmt.Sprintf("%q", l.Addr()))
	}
	for _, m := range members {
		m.told = strings.Join(told, ",")
		var served sync.WaitGroup
		served.Go(func() { m.serve(&served) })
		t.Cleanup(func() {
			m.stop()
			served.Wait()
		})
	}
	return members
}

// serve answers what a client sends first.
func (m *member) serve(served *sync.WaitGroup) {
	for {
		conn, err := m.listener.Accept()
		if err != nil {
			return
		}
		m.mu.Lock()
		m.conns = append(m.conns, conn)
		m.mu.Unlock()
		served.Go(func() {
			fmt.Fprintf(conn, "INFO {\"version\":\"2.12.3\",\"headers\":true,\"max_payload\":1048576,\"connect_urls\":[%s]}\r\n", m.told)
			for lines := bufio.NewScanner(conn); lines.Scan(); {
				if lines.Text() == "PING" {
					fmt.Fprint(conn, "PONG\r\n")
				}
			}
		})
	}
}

// stop ends a member with its connections. A second one is a no-op.
func (m *member) stop() {
	_ = m.listener.Close() // it may have been
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		_ = conn.Close() // as above
	}
}

// TestClusterOutlivesItsURL: of a cluster whose servers go one after the other, each that
// is left is connected to, although the URL names the first only.
func TestClusterOutlivesItsURL(t *testing.T) {
	members := startCluster(t, 4)
	d := &dialer{config: &config{servers: []string{"nats://" + members[0].listener.Addr().String()}, dial: 5 * time.Second}}
	left := members
	for len(left) > 0 {
		l, err := d.dial(t.Context())
		if err != nil {
			t.Fatalf("%d servers are left: %v", len(left), err)
		}
		at := l.nc.ConnectedAddr()
		for i, m := range left {
			if m.listener.Addr().String() == at {
				m.stop()
				left = append(left[:i:i], left[i+1:]...)
				break
			}
		}
		<-l.gone
		d.learn(l)
	}
}

// TestSomeWereSent: where the connection is lost between two requests of a call, the first
// may have been carried out.
func TestSomeWereSent(t *testing.T) {
	m := startCluster(t, 1)[0]
	d := &dialer{config: &config{servers: []string{"nats://" + m.listener.Addr().String()}, dial: 5 * time.Second}}
	l, err := d.dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c, err := newConnection(l, d)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	err = c.callAPIMany(t.Context(), "subject", 2, func(i int) ([]byte, error) {
		if i == 1 {
			l.nc.Close()
		}
		return []byte("{}"), nil
	}, nil)
	if v := classify(err); v.Fate != driver.FateUnknown {
		t.Errorf("%v is %v", err, v.Fate)
	}
}

// TestCertificateName: only a server that is known by its address has the name of another.
func TestCertificateName(t *testing.T) {
	servers := []string{"tls://10.0.0.1:4222", "tls://a.example.com:4222"}
	for server, want := range map[string]string{
		"tls://10.0.0.2:4222": "a.example.com", "tls://[::1]:4222": "a.example.com", "tls://b.example.com:4222": "", "://": "",
	} {
		if got := certificateName(server, servers); got != want {
			t.Errorf("%s: %q, want %q", server, got, want)
		}
	}
}
