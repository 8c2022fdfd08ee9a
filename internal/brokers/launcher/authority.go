package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"time"

	"github.com/testcontainers/testcontainers-go"
)

// certificateLife is longer than any run and short enough that a leaked key is worth nothing.
const certificateLife = 24 * time.Hour

// Where a server finds its certificates, inside its container.
const (
	authorityFile   = "/etc/batch-ca.crt"
	certificateFile = "/etc/batch-server.crt"
	keyFile         = "/etc/batch-server.key"
)

// An authority has certificates for a server on the loopback interface and for its client, signed by
// an authority that is made for them and forgotten. Nothing is read from or written to disk.
type authority struct {
	host              string // the name in the server's certificate
	certificate       []byte // PEM, of the authority
	server            []byte // PEM
	key               []byte // PEM, of server
	clientCertificate []byte // PEM
	clientKey         []byte // PEM
}

// files are what a server needs, and none for a server without TLS: files may be called on nil. The
// server may run as a user of its own, so everyone may read the key, which is worth nothing outside
// this run.
func (a *authority) files() []testcontainers.ContainerFile {
	if a == nil {
		return nil
	}
	return []testcontainers.ContainerFile{
		textFile(authorityFile, string(a.certificate)),
		textFile(certificateFile, string(a.server)),
		textFile(keyFile, string(a.key)),
	}
}

func newAuthority() (*authority, error) {
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "batch test authority"},
		NotBefore:             now.Add(-time.Hour), // clocks in virtual machines lag
		NotAfter:              now.Add(certificateLife),
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(rootDER)
	if err != nil {
		return nil, err
	}
	a := &authority{host: "localhost", certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})}
	a.server, a.key, err = sign(parsed, rootKey, &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: a.host},
		DNSNames:     []string{a.host},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	a.clientCertificate, a.clientKey, err = sign(parsed, rootKey, &x509.Certificate{
		SerialNumber: big.NewInt(3),
		Subject:      pkix.Name{CommonName: "batch test client"},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// sign returns a certificate as the template describes it, and its new key.
func sign(root *x509.Certificate, rootKey *ecdsa.PrivateKey, template *x509.Certificate) (certificate, key []byte, err error) {
	template.NotBefore, template.NotAfter = root.NotBefore, root.NotAfter
	template.KeyUsage = x509.KeyUsageDigitalSignature
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	certificateDER, err := x509.CreateCertificate(rand.Reader, template, root, own.Public(), rootKey)
	if err != nil {
		return nil, nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		return nil, nil, err
	}
	certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificateDER})
	return certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), nil
}
