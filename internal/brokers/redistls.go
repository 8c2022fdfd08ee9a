package brokers

import (
	"bytes"
	"crypto/rand"
	"strconv"
	"testing"

	"github.com/testcontainers/testcontainers-go"
)

// RedisTLS returns a shared server of version v that speaks nothing but TLS and asks for a password.
// The instance has what a client needs: TLS trusts its certificate, which a client that does not take
// it must refuse, and Password is made up anew in every run.
func RedisTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "redis with TLS "+string(v), func(e *engine) (*Instance, error) {
		return startRedisTLS(e, v)
	}, nil)
}

// NewRedisTLS starts a server as RedisTLS does, for this test alone.
func NewRedisTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(e *engine) (*Instance, error) { return startRedisTLS(e, v) })
}

func startRedisTLS(e *engine, v Version) (*Instance, error) {
	a, err := newAuthority()
	if err != nil {
		return nil, err
	}
	password := rand.Text()
	file := func(name string, content []byte) testcontainers.ContainerFile {
		// The server runs as a user of its own in official images, so everyone may read the key. It is
		// worth nothing outside this run.
		return testcontainers.ContainerFile{Reader: bytes.NewReader(content), ContainerFilePath: name, FileMode: 0o644}
	}
	i, err := startRedis(e, v, redisOptions{
		password: password,
		tls:      a.client,
		files: []testcontainers.ContainerFile{
			file("/etc/batch-ca.crt", a.certificate),
			file("/etc/batch-server.crt", a.server),
			file("/etc/batch-server.key", a.key),
		},
		args: []string{
			"--port", "0",
			"--tls-port", strconv.Itoa(redisPort),
			"--tls-ca-cert-file", "/etc/batch-ca.crt",
			"--tls-cert-file", "/etc/batch-server.crt",
			"--tls-key-file", "/etc/batch-server.key",
			"--tls-auth-clients", "no",
			"--requirepass", password,
		},
	})
	if err != nil {
		return nil, err
	}
	i.CA = a.certificate
	return i, nil
}
