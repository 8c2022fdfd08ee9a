//go:build linux && !mips && !mipsle && !mips64 && !mips64le

package proxy

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// The client of a proxy that refuses must not meet the server of somebody else, whose port
// that has become meanwhile.
func TestPortIsKept(t *testing.T) {
	p := before(t, serve(t))
	for _, shut := range []func() error{p.Refuse, p.Ignore, p.Refuse} {
		if err := shut(); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", p.Addr())
		if err == nil {
			l.Close()
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("listening on the port of a proxy: %v", err)
		}
		if err := p.Accept(); err != nil {
			t.Fatal(err)
		}
		talk(t, dial(t, p), "accepted")
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", p.Addr())
	if err != nil {
		t.Fatalf("listening on the port of a proxy that was closed: %v", err)
	}
	l.Close()
}
