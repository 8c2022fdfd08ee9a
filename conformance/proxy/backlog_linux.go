package proxy

import (
	"errors"
	"net"
	"syscall"
)

// shorten makes the queue of connections that are not accepted yet as short as can be:
// when it is full, the system drops what clients send to connect.
func shorten(l *net.TCPListener) error {
	raw, err := l.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), 0) })
	return errors.Join(err, failed)
}
