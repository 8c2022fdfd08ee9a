//go:build linux || darwin || freebsd || netbsd || openbsd

package sqs

import (
	"net"
	"syscall"
)

// hasEnded tells whether the other side has closed a connection. It looks at what has
// come without taking it, and does not wait.
func hasEnded(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	ended := false
	err = raw.Control(func(fd uintptr) {
		var head [5]byte
		n, _, err := syscall.Recvfrom(int(fd), head[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch err {
		case nil:
			ended = saysEnd(head[:n])
		case syscall.EAGAIN, syscall.EINTR:
		default:
			ended = true
		}
	})
	return ended || err != nil
}
