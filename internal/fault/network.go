package fault

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
)

// IsDial tells errors of a connection that was never made: nobody answers at the
// address. Nothing was sent.
func IsDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// IsName tells errors of a name that cannot be resolved. Nothing was sent.
func IsName(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

// IsTLS tells errors of the handshake, before which nothing was sent. With TLS
// 1.3 a server may refuse the client's certificate later than that: such an
// alert is a net.OpError and not one of these.
func IsTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &host)
}
