package nats_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

// TestConformance runs the suite on the oldest and the newest version that the
// driver supports, each in a container of its own, which the suite crashes and
// freezes in the end.
func TestConformance(t *testing.T) {
	for _, version := range brokers.NATSVersions() {
		if version == brokers.NATS29 {
			continue // refused: TestOldServer
		}
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			server := brokers.OwnOrNATS(t, version)
			h := harness(server.URL(), server.String())
			// A lease that a busy machine, with the race detector, does not miss.
			h.Lease, h.Slack = 2*time.Second, 2*time.Second
			// One queue is always there: a server that is rid of its last stream removes
			// their directory, and one that is made in that moment fails. Other programs
			// try again, cases do not.
			d := openURL(t, server.URL())
			if err := d.Declare(testContext(t), "anchor"); err != nil {
				t.Fatal(err)
			}
			h.Addr = server.Addr
			h.OpenAt = func(ctx context.Context, addr string) (driver.Driver, error) {
				return nats.Open(ctx, strings.Replace(h.URL, server.Addr, addr, 1))
			}
			if version != brokers.NATS2 {
				h.LikeAnother()
			}
			if server.Ours() {
				h.Restart = server.Crash
				h.Freeze = server.Freezer(t)
			}
			conformance.Run(t, h)
		})
	}
}

// TestConformanceCluster runs it on three servers, with three replicas of each queue.
func TestConformanceCluster(t *testing.T) {
	h, _ := clustered(t)
	conformance.Run(t, h)
}

// TestFreezeOne freezes one server of a cluster. That case mostly waits, so it does it
// beside other tests, on a cluster of its own.
func TestFreezeOne(t *testing.T) {
	t.Parallel()
	h, cluster := clustered(t)
	h.FreezeOne = func(ctx context.Context, index int) (func(), error) {
		return cluster.Nodes[index].Freezer(t)(ctx)
	}
	at := slices.IndexFunc(conformance.Cases(), func(c conformance.Case) bool { return c.Name == "freeze-one" })
	if err := conformance.Cases()[at].Run(t.Context(), h); err != nil {
		t.Error(err)
	}
}

// clustered starts a cluster, and returns what the suite needs to know of it.
func clustered(t *testing.T) (conformance.Harness, *brokers.NATSServers) {
	t.Helper()
	brokers.SkipGiven(t, "nats")
	cluster := brokers.NewNATSCluster(t, brokers.NATS2)
	h := harness(cluster.URL(), cluster.String())
	h.Lease, h.Slack = 3*time.Second, 3*time.Second
	h.Servers = len(cluster.Nodes)
	return h, cluster
}

// harness is for servers that the URL opens.
func harness(address, name string) conformance.Harness {
	// Our URLs have one scheme for all hosts.
	address = strings.ReplaceAll(address, ",nats://", ",") + "?dedup_window=3s" // a window that a case can wait for
	plain, _, _ := strings.Cut(address, "?")
	return conformance.Harness{
		Parallel: 32,
		Open:     func(ctx context.Context) (driver.Driver, error) { return nats.Open(ctx, address) },
		URL:      address,
		Broker:   name,

		BehindBacklog: "a release is a new entry of the stream, as a NAK counts as a lost holder; see TestLostJobsComeFirst for what was lost",
		Foreign: func(ctx context.Context, queue string, body []byte) error {
			nc, err := natsgo.Connect(plain)
			if err != nil {
				return err
			}
			defer nc.Close()
			_, err = nc.RequestWithContext(ctx, "batch."+queue+".job", body)
			return err
		},
	}
}
