package brokers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"os"
)

// given returns the broker that BATCH_TEST_<FAMILY>_URL names, or nil when it is not set. port is what
// a URL without one means.
func given(family, port string, p protocol) (*Instance, error) {
	variable := row{family: family}.override("URL")
	text := os.Getenv(variable)
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	if u.Host == "" || u.Scheme != p.scheme && u.Scheme != p.secure {
		return nil, fmt.Errorf("%s is %q, want %s://host:port or %s://host:port", variable, u.Redacted(), p.scheme, p.secure)
	}
	i := &Instance{Addr: u.Host, Username: u.User.Username(), protocol: p}
	if u.Port() == "" {
		i.Addr = net.JoinHostPort(u.Hostname(), port)
	}
	i.Password, _ = u.User.Password()
	if u.Path != "" {
		i.protocol.path = u.EscapedPath()
	}
	if u.Scheme == p.secure {
		i.TLS = &tls.Config{ServerName: u.Hostname(), MinVersion: tls.VersionTLS12}
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	if err := i.identify(ctx); err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return i, nil
}

// versions returns the versions that a driver's tests run against: all of a family, or the latest alone
// when a variable says which broker to use instead of the table's.
func versions(family string, all ...Version) []Version {
	r := row{family: family}
	if os.Getenv(r.override("URL")) != "" || os.Getenv(r.override("IMAGE")) != "" {
		return all[len(all)-1:]
	}
	return all
}
