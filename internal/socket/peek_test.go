//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package socket_test

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/socket"
)

// pair is both ends of a connection.
func pair(t *testing.T) (client, server net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return client, server
}

// peekUntil looks until there is something else than nothing.
func peekUntil(t *testing.T, c net.Conn, head []byte) (int, error) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if n, err := socket.Peek(c, head); err != socket.ErrNothing {
			return n, err
		}
	}
	t.Fatal("nothing comes")
	return 0, nil
}

func TestPeek(t *testing.T) {
	client, server := pair(t)
	var head [2]byte
	if n, err := socket.Peek(client, head[:]); n != 0 || err != socket.ErrNothing {
		t.Errorf("before anything came: %d, %v", n, err)
	}
	if _, err := server.Write([]byte("abc")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it takes nothing away
		if n, err := peekUntil(t, client, head[:]); n != 2 || err != nil || string(head[:]) != "ab" {
			t.Errorf("three bytes came: %d, %q, %v", n, head[:], err)
		}
	}
	if _, err := io.ReadFull(client, make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if n, err := peekUntil(t, client, head[:]); n != 0 || err != io.EOF {
		t.Errorf("the other side closed it: %d, %v", n, err)
	}
	client.Close()
	if n, err := socket.Peek(client, head[:]); n != 0 || err == nil || errors.Is(err, io.EOF) || err == socket.ErrNothing {
		t.Errorf("it was closed here: %d, %v", n, err)
	}
	if n, err := socket.Peek(struct{ net.Conn }{}, head[:]); n != 0 || err != socket.ErrNothing {
		t.Errorf("no socket: %d, %v", n, err)
	}
}
