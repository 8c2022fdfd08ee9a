package main

import (
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/internal/brokers"
)

// natsConfig is a server with its monitoring, an account with little room, one without
// JetStream, and a user who may not receive.
const natsConfig = `
http_port: 8222
jetstream { sync_interval: "2m" }
accounts {
	roomy { jetstream: enabled, users: [ { user: all, password: p },
		{ user: few, password: p, permissions { publish { deny: "$JS.API.CONSUMER.MSG.NEXT.>" } } } ] }
	small { jetstream { max_file: 20KB, max_streams: 3 }, users: [ { user: small, password: p } ] }
	none { users: [ { user: none, password: p } ] }
}`

// TestDoctorOnNATS sets a server up wrongly.
func TestDoctorOnNATS(t *testing.T) {
	t.Parallel()
	server := brokers.NewNATSConfig(t, brokers.NATS2, natsConfig)
	as := func(user string) string { return "nats://" + user + ":p@" + server.Addr }
	address, err := server.Exec(testContext(t), "hostname", "-i")
	if err != nil {
		t.Fatal(err)
	}
	watched := []string{"--monitoring", "http://" + strings.Fields(address)[0] + ":8222"}
	seed(t, open(t, as("all")), "emails")
	diagnose(t, as("all"), nil, finding{"monitoring", "unknown", "how often the server syncs", "http_port"}, finding{"queues", "ok", "1 of 1", ""},
		finding{"replication", "ok", "single server", ""}, finding{"exercise", "ok", "", ""})
	diagnose(t, as("all"), watched, finding{"sync", "warn", "every 2m0s", "sync_interval: always"}, finding{"disk", "ok", "", ""})
	c := process(t, as("all"), "doctor", "-json")
	c.Env = append(c.Env, "BATCH_MONITORING="+watched[1])
	if out, err := c.Output(); err != nil || !strings.Contains(string(out), `"check":"sync"`) {
		t.Errorf("with BATCH_MONITORING: %v\n%s", err, out)
	}
	diagnose(t, as("few"), nil, finding{"exercise", "fail", "MSG.NEXT", "publish and subscribe"})
	diagnose(t, as("none"), nil, finding{"connection", "fail", "JetStream not enabled for account", "switch JetStream on"})
	diagnose(t, strings.Replace(as("all"), ":p@", ":wrong@", 1), nil, finding{"connection", "fail", "not authorized", ""})

	seed(t, open(t, as("small")), "emails")
	d := open(t, as("small"))
	put(t, d, "reports", dead(20)...)
	diagnose(t, as("small"), nil, finding{"streams", "ok", "2 of 3 streams", ""}, finding{"storage", "ok", "of 20480 bytes", ""},
		finding{"exercise", "ok", "", ""})

	nc, err := natsgo.Connect(as("all"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	change := func(set func(*jetstream.StreamConfig)) {
		t.Helper()
		s, err := js.Stream(testContext(t), "batch-emails")
		if err != nil {
			t.Fatal(err)
		}
		config := s.CachedInfo().Config
		set(&config)
		if _, err := js.UpdateStream(testContext(t), config); err != nil {
			t.Fatal(err)
		}
	}
	change(func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour })
	diagnose(t, as("all"), nil, finding{"queues", "fail", "max_age 1h0m0s", "correct it"})
	change(func(c *jetstream.StreamConfig) { c.MaxAge, c.MaxMsgs = 0, 1000 })
	diagnose(t, as("all"), nil, finding{"queues", "fail", "max_msgs 1000", "correct it"})
}

// TestDoctorOnNATSCluster: a queue with one replica is found, and so is a server that is away.
func TestDoctorOnNATSCluster(t *testing.T) {
	t.Parallel()
	cluster := brokers.NewNATSCluster(t, brokers.NATS2)
	url := "nats://" + strings.ReplaceAll(cluster.URL(), "nats://", "")
	seed(t, open(t, url), "safe")
	ctx := testContext(t)
	for ctx.Err() == nil && strings.Contains(away(t, url, "doctor", "-json").both(), "away or behind") { // they have only begun
	}
	diagnose(t, url, nil, finding{"replication", "ok", "each of the 1 queues", ""}, finding{"exercise", "ok", "", ""})
	seed(t, open(t, url+"?replicas=1"), "single")
	diagnose(t, url, nil, finding{"replication", "warn", "queue single has one replica", "--replicas 3"})
}

// TestDoctorOnOldNATS: a version that is too old is refused, with what is needed.
func TestDoctorOnOldNATS(t *testing.T) {
	t.Parallel()
	diagnose(t, brokers.NATS(t, brokers.NATS29).URL(), nil, finding{"connection", "fail", "2.12.3 is needed", "upgrade the server"})
}
