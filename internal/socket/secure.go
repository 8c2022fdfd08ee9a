package socket

import (
	"context"
	"crypto/tls"
	"net"
)

// Secure does the client's TLS handshake on a connection to address, host:port. Where config
// does not say which name the server's certificate must have, it is the host. With an error,
// which may be that of ctx, the connection is still the caller's to close.
func Secure(ctx context.Context, conn net.Conn, config *tls.Config, address string) (net.Conn, error) {
	if config.ServerName == "" {
		host, _, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		config = config.Clone()
		config.ServerName = host
	}
	secure := tls.Client(conn, config)
	return secure, secure.HandshakeContext(ctx)
}
