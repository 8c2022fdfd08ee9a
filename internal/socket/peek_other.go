//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package socket

import "net"

// Peek cannot look without reading here. Reads and writes find out what there is.
func Peek(net.Conn, []byte) (int, error) { return 0, ErrNothing }
