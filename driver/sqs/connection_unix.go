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

// saysEnd tells whether what is to be read next, of which head is the beginning, ends
// the connection: nothing, or TLS's close_notify. That is an alert, which TLS 1.3 hides
// in a record of application data, but for its length.
func saysEnd(head []byte) bool {
	const alert, data, length = 0x15, 0x17, 19
	switch {
	case len(head) == 0:
		return true
	case len(head) < 5 || head[1] != 3:
		return false
	}
	return head[0] == alert || head[0] == data && head[3] == 0 && head[4] == length
}
