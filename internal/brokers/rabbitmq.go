package brokers

import (
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// RabbitMQ returns a server of version v that all tests of the binary share, with the user guest, who
// may do everything, and no plug-ins. With BATCH_TEST_RABBITMQ_URL set it returns that server, whatever
// v is.
func RabbitMQ(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "rabbitmq "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRabbitMQ})
	}, func() (*Instance, error) { return given("rabbitmq", "5672", launch.RabbitMQ) })
}

// NewRabbitMQ starts a server of version v for this test alone and removes it when the test ends. Each
// of settings is a line for rabbitmq.conf. BATCH_TEST_RABBITMQ_URL does not count here.
func NewRabbitMQ(t testing.TB, v Version, settings ...string) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRabbitMQ, Config: strings.Join(settings, "\n")})
	})
}

// NewRabbitMQManaged starts a server as NewRabbitMQ does, with the management plug-in, at [Instance.HTTP].
func NewRabbitMQManaged(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRabbitMQ, HTTP: true})
	})
}

// OwnOrRabbitMQ is NewRabbitMQ, or the broker that BATCH_TEST_RABBITMQ_URL names: one that is
// not [Instance.Ours], which the test must not disturb.
func OwnOrRabbitMQ(t testing.TB, v Version) *Instance {
	t.Helper()
	return orGiven(t, "rabbitmq", "5672", launch.RabbitMQ, func() *Instance { return NewRabbitMQ(t, v) })
}

// RabbitMQTLS returns a shared server of version v that speaks nothing but TLS, and only to clients that
// show a certificate: the one in TLS, which is in Certificate and Key as well.
func RabbitMQTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return share(t, "rabbitmq with TLS "+string(v), func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRabbitMQ, TLS: true})
	}, nil)
}

// NewRabbitMQTLS starts a server as RabbitMQTLS does, for this test alone.
func NewRabbitMQTLS(t testing.TB, v Version) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(v, launch.Broker{Kind: launch.OneRabbitMQ, TLS: true})
	})
}

// RabbitMQVersions returns the versions that a driver's tests run against, oldest first: every row of
// the family, or one when BATCH_TEST_RABBITMQ_URL or BATCH_TEST_RABBITMQ_IMAGE says which broker to use.
func RabbitMQVersions() []Version {
	return versions("rabbitmq", RabbitMQ3, RabbitMQ40, RabbitMQ4)
}
