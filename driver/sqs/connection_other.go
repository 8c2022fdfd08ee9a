//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd

package sqs

import "net"

// hasEnded cannot look without reading here, and lets the write find out.
func hasEnded(net.Conn) bool { return false }
