package brokers

import (
	"testing"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// SQSRegion is the region that requests to an instance of [SQS] are signed for.
const SQSRegion = launch.SQSRegion

// SQS returns an SQS server that all tests of the binary share, with its queues in memory: fauxqs 2.4.1
// on disk fails every ChangeMessageVisibility to zero, because updateMessageReady in persistence.js
// stores a null for approximate_receive_count, which the table refuses. Its URL is the endpoint;
// Username and Password are an access key's id and secret, which the server does not check. The URLs of
// queues name a host that need not resolve: requests go to the endpoint. With BATCH_TEST_SQS_URL set,
// SQS returns that server, with the key from the URL.
func SQS(t testing.TB) *Instance {
	t.Helper()
	return share(t, "sqs", func(l *launcher) (*Instance, error) {
		return l.launchOne(FauxSQS, launch.Broker{Kind: launch.OneSQS})
	}, givenSQS)
}

// givenSQS is the server that BATCH_TEST_SQS_URL names, or nil.
func givenSQS() (*Instance, error) {
	i, err := given("sqs", "80", launch.SQS)
	if i != nil && i.Username == "" {
		i.Username, i.Password = "test", "test"
	}
	return i, err
}

// OwnOrSQS starts a server as [SQS] does, for this test alone, or returns the one that BATCH_TEST_SQS_URL
// names. It is for tests that keep a server busy, which is one thread.
func OwnOrSQS(t testing.TB) *Instance {
	t.Helper()
	if IsGiven("sqs") {
		return SQS(t)
	}
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(FauxSQS, launch.Broker{Kind: launch.OneSQS})
	})
}

// NewSQS starts a server for this test alone, with its queues on disk, and removes it when the test
// ends. BATCH_TEST_SQS_URL does not count here.
func NewSQS(t testing.TB) *Instance {
	t.Helper()
	return own(t, func(l *launcher) (*Instance, error) {
		return l.launchOne(FauxSQS, launch.Broker{Kind: launch.OneSQS, Disk: true})
	})
}
