//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package amqp

import (
	"net"
	"syscall"
)

// peek tells what the system knows of a socket and its reader does not yet: that the
// other side has closed it, or that something is there to be read.
func peek(conn net.Conn) (ended, pending bool) {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return false, false
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return true, false // it was closed here
	}
	err = raw.Control(func(fd uintptr) {
		var first [1]byte
		n, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EAGAIN || err == syscall.EWOULDBLOCK || err == syscall.EINTR:
		case err != nil || n == 0:
			ended = true
		default:
			pending = true
		}
	})
	return ended || err != nil, pending
}
