package driver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// TLS reads the parameters of a connection over TLS, which are the same for
// every driver:
//
//   - tls_ca: a file with the certificates, in PEM, that sign the server's;
//     the system's by default
//   - tls_cert, tls_key: files with the client's own certificate and its key
//   - tls_server_name: the name that the server's certificate must have;
//     serverName by default, and where that is empty the host that is dialled
//
// The oldest version is TLS 1.2. [Params.Err] reports what is wrong.
//
// Call it only if the URL's scheme means TLS. Otherwise the parameters stay
// unread, and are refused as unknown.
func (p *Params) TLS(serverName string) *tls.Config {
	config, err := tlsConfig(p.String("tls_server_name", serverName), p.String("tls_ca", ""), p.String("tls_cert", ""), p.String("tls_key", ""))
	if err != nil {
		p.Refuse("%w", err)
	}
	return config
}

// tlsConfig loads the files.
func tlsConfig(name, ca, cert, key string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("tls_ca cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca %s holds no certificate in PEM form", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("tls_cert and tls_key need each other")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert and tls_key cannot be used: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
