package brokers

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// identifyTimeout bounds the question what a given broker is.
const identifyTimeout = time.Minute

// given returns the broker that BATCH_TEST_<FAMILY>_URL names, or nil when it is not set. port is what
// a URL without one means.
func given(family, port string, p launch.Protocol) (*Instance, error) {
	variable := row{family: family}.override("URL")
	text := os.Getenv(variable)
	if text == "" {
		return nil, nil
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	plain, secure := p.Schemes()
	if u.Host == "" || u.Scheme != plain && u.Scheme != secure {
		return nil, fmt.Errorf("%s is %q, want %s://host:port or %s://host:port", variable, u.Redacted(), plain, secure)
	}
	s := launch.Server{Protocol: p, Addr: u.Host, Username: u.User.Username(), Host: u.Hostname()}
	if plain == secure {
		s.Query = u.RawQuery
	} else {
		s.Secure = u.Scheme == secure
	}
	if u.Port() == "" {
		s.Addr = net.JoinHostPort(u.Hostname(), port)
	}
	s.Password, _ = u.User.Password()
	if u.Path != "" {
		s.Path = u.EscapedPath()
	}
	i, err := identify(s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variable, err)
	}
	return i, nil
}

// orGiven returns the broker that BATCH_TEST_<FAMILY>_URL names, or the test's own.
func orGiven(t testing.TB, family, port string, p launch.Protocol, own func() *Instance) *Instance {
	t.Helper()
	i, err := given(family, port, p)
	switch {
	case err != nil:
		refuse(t, err)
	case i != nil:
		announce(t, i.String())
		return i
	}
	return own()
}

// SkipGiven skips a test of what a single plain broker is not, such as a cluster, if
// BATCH_TEST_<FAMILY>_URL names the broker to test with.
func SkipGiven(t testing.TB, family string) {
	t.Helper()
	if IsGiven(family) {
		t.Skipf("%s names the one broker to test with", row{family: family}.override("URL"))
	}
}

// IsGiven tells whether BATCH_TEST_<FAMILY>_URL names the broker to test with, which outlives the tests.
func IsGiven(family string) bool { return os.Getenv(row{family: family}.override("URL")) != "" }

// identify asks a server that runs already for its name and version.
func identify(s launch.Server) (*Instance, error) {
	l, err := processLauncher()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), identifyTimeout)
	defer cancel()
	var identified launch.Server
	if err := l.call(ctx, "Identify", &launch.Given{Server: s}, &identified); err != nil {
		return nil, err
	}
	return newInstance(l, identified)
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
