//go:build !linux

package proxy

import "net"

// shorten has no means here: connections are made, and nobody reads them.
func shorten(*net.TCPListener) error { return nil }
