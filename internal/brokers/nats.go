package brokers

import (
	"context"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// NATS returns a server of version v that all tests of the binary share, with JetStream on files and no
// authentication. With BATCH_TEST_NATS_URL set it returns that server, whatever v is.
func NATS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "nats "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS})
	}, func() (*Instance, error) { return given("nats", "4222", launch.NATS) })
}

// NewNATS starts a server of version v for this test alone and removes it when the test ends. args are
// added to the server's command line. BATCH_TEST_NATS_URL does not count here.
func NewNATS(t testing.TB, v Version, args ...string) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS, Args: args})
	})
}

// NewNATSMonitored starts a server as NewNATS does, which also answers what monitors ask, at [Instance.HTTP].
func NewNATSMonitored(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS, HTTP: true})
	})
}

// OwnOrNATS is NewNATS, or the broker that BATCH_TEST_NATS_URL names: one that is
// not [Instance.Ours], which the test must not disturb.
func OwnOrNATS(t testing.TB, v Version) *Instance {
	t.Helper()
	return orGiven(t, "nats", "4222", launch.NATS, func() *Instance { return NewNATS(t, v) })
}

// NewNATSConfig starts a server as NewNATS does, with config as the text of its configuration file: its
// accounts, users and limits. The instance names no user, since the launcher knows of none.
func NewNATSConfig(t testing.TB, v Version, config string) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS, Config: config})
	})
}

// NATSWithoutJetStream returns a shared server of version v that has JetStream switched off.
func NATSWithoutJetStream(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "nats without JetStream "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS, Core: true})
	}, nil)
}

// NATSTLS returns a shared server of version v that speaks nothing but TLS, and only to clients that
// show a certificate, the one in TLS, and know Username and Password.
func NATSTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "nats with TLS "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS, TLS: true})
	}, nil)
}

// NewNATSTLS starts a server as NATSTLS does, for this test alone.
func NewNATSTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneNATS, TLS: true})
	})
}

// NATSVersions returns the versions that there are, oldest first: every row of the family, or one when
// BATCH_TEST_NATS_URL or BATCH_TEST_NATS_IMAGE says which broker to use.
func NATSVersions() []Version {
	return versions("nats", NATS29, NATS212, NATS2)
}

// A NATSServers is a cluster of three servers with JetStream, on which streams can have three replicas.
type NATSServers struct {
	Nodes []*Instance

	*group
}

// NATSCluster returns a cluster of version v that all tests of the binary share.
func NATSCluster(t testing.TB, v Version) *NATSServers {
	t.Helper()
	return share(t, "nats cluster "+string(v), func(l *launcher) (*NATSServers, error) {
		return l.launchNATSCluster(v)
	}, nil)
}

// NewNATSCluster starts a cluster for this test alone, which may stop or freeze its nodes.
func NewNATSCluster(t testing.TB, v Version) *NATSServers {
	t.Helper()
	return own(t, func(l *launcher) (*NATSServers, error) { return l.launchNATSCluster(v) })
}

func (l *launcher) launchNATSCluster(v Version) (*NATSServers, error) {
	g, err := l.launch(v, launch.Broker{Kind: launch.NATSCluster})
	if err != nil {
		return nil, err
	}
	return &NATSServers{Nodes: g.nodes, group: g}, nil
}

// URL returns the addresses of all nodes, separated by commas, as clients take them.
func (s *NATSServers) URL() string {
	urls := make([]string, len(s.Nodes))
	for n, node := range s.Nodes {
		urls[n] = node.URL()
	}
	return strings.Join(urls, ",")
}

// Await returns when the cluster takes streams with three replicas, or ctx ends. A node that was
// started again serves clients before that.
func (s *NATSServers) Await(ctx context.Context) error {
	return s.await(ctx)
}

// String says what the cluster is, in the form of the report.
func (s *NATSServers) String() string {
	return s.describe("a cluster of three")
}
