//go:build linux && !mips && !mipsle && !mips64 && !mips64le

package proxy

import (
	"context"
	"errors"
	"net"
	"os"
	"strconv"
	"syscall"
)

// reusePort is SO_REUSEPORT, which package syscall does not have for each of these systems.
const reusePort = 0xf

// port is a port of the loopback interface that nobody else can take, whether somebody
// listens on it or not: it has a socket that is bound and does not listen. A port that is
// given up while connections are refused is soon another listener's, and the client would
// talk to a broker that is not its own.
type port struct {
	fd   int
	addr string
}

// reserve takes a port that is free.
func reserve() (*port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	p := &port{fd: fd}
	if err := p.bind(); err != nil {
		return nil, errors.Join(err, p.release())
	}
	return p, nil
}

// bind binds the socket, so that only those can listen that set the same option.
func (p *port) bind() error {
	if err := syscall.SetsockoptInt(p.fd, syscall.SOL_SOCKET, reusePort, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(p.fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(p.fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	p.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	return nil
}

// listen listens on the port.
func (p *port) listen() (net.Listener, error) {
	shared := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = os.NewSyscallError("setsockopt", syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, reusePort, 1))
		})
		return errors.Join(err, failed)
	}}
	return shared.Listen(context.Background(), "tcp", p.addr)
}

// release gives the port up.
func (p *port) release() error { return os.NewSyscallError("close", syscall.Close(p.fd)) }
