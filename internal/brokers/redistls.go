package brokers

import (
	"crypto/rand"
	"strconv"
	"testing"
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
	return startRedis(e, v, redisOptions{
		password:  password,
		authority: a,
		args: []string{
			"--port", "0",
			"--tls-port", strconv.Itoa(redisPort),
			"--tls-ca-cert-file", authorityFile,
			"--tls-cert-file", certificateFile,
			"--tls-key-file", keyFile,
			"--tls-auth-clients", "no",
			"--requirepass", password,
		},
	})
}
