//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package socket

import (
	"io"
	"net"
	"syscall"
)

// Peek copies to head what the system has of a connection and its reader has not taken
// yet. It takes nothing away, and does not wait. The error is [io.EOF] if the other side
// has closed the connection, [ErrNothing] if nothing has come or c is no socket, and
// another one if the connection has ended in any other way. It may be called beside a read
// and a write.
func Peek(c net.Conn, head []byte) (n int, err error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return 0, ErrNothing
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return 0, err
	}
	failed := raw.Control(func(fd uintptr) {
		n, _, err = syscall.Recvfrom(int(fd), head, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	})
	switch {
	case failed != nil:
		return 0, failed
	case err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR:
		return 0, ErrNothing
	case err != nil:
		return 0, err
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
