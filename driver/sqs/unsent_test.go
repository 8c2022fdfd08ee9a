package sqs

import (
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/batch-go/batch/driver"
)

// dying is a listener whose connections end as soon as something comes on them, once it is
// down.
type dying struct {
	net.Listener
	down atomic.Bool
}

// dyingConn is one of its connections.
type dyingConn struct {
	net.Conn
	listener *dying
}

func (l *dying) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return dyingConn{c, l}, err
}

func (c dyingConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if c.listener.down.Load() {
		return 0, errors.Join(io.EOF, c.Close())
	}
	return n, err
}

// A request for which no connection could be made ready has stored nothing: what stands
// before a server that is gone accepts connections, and ends them in the TLS handshake.
func TestEndedInTheHandshake(t *testing.T) {
	f := newFake()
	var server *httptest.Server
	var listener *dying
	endpoint, _ := f.serve(t, func(s *httptest.Server) {
		server, listener = s, &dying{Listener: s.Listener}
		s.Listener = listener
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
	})
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), "sqs://key:secret@us-east-1/?"+url.Values{"endpoint": {endpoint}, "tls_ca": {ca}}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(t, d)
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	put(t, d, job("a", 0))
	listener.down.Store(true)
	server.CloseClientConnections() // what follows begins with one that was closed while it was idle
	sent := f.count("SendMessageBatch")
	for call := range 4 {
		err := d.Enqueue(t.Context(), "q", []*driver.Message{job("b", 0)})[0].Err
		if call == 0 && driver.FateOf(err) == driver.FateUnknown && errors.Is(err, io.EOF) {
			continue // it was written before the client had read that the connection is closed
		}
		if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored || f.count("SendMessageBatch") != sent {
			t.Errorf("%v, %s", err, driver.FateOf(err))
		}
	}
}
