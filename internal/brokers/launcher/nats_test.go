package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/internal/brokers"
)

func TestNATSServesEveryVersion(t *testing.T) {
	want := map[brokers.Version]string{brokers.NATS29: "nats 2.9.", brokers.NATS212: "nats 2.12.3", brokers.NATS2: "nats 2."}
	overridden := len(brokers.NATSVersions()) != len(want)
	for _, v := range brokers.NATSVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			i := brokers.NATS(t, v)
			if !overridden && !strings.HasPrefix(i.String(), want[v]) {
				t.Errorf("got %s, want %s", i, want[v])
			}
			js := jetStream(t, i.URL())
			createStream(t, js, 1)
			publishJetStream(t, js, "value")
			if got := lastMessage(t, js); got != "value" {
				t.Errorf("got %q, want %q", got, "value")
			}
			if again := brokers.NATS(t, v); again != i {
				t.Errorf("a second call started another broker: %s and %s", i.Addr, again.Addr)
			}
		})
	}
}

func TestNATSRestartKeepsStreams(t *testing.T) {
	t.Parallel()
	i := brokers.NewNATS(t, brokers.NATS2)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	createStream(t, jetStream(t, i.URL()), 1)
	for _, fault := range restarts(ctx, i) {
		publishJetStream(t, jetStream(t, i.URL()), fault.name)
		if err := fault.do(); err != nil {
			t.Fatalf("%s: %v", fault.name, err)
		}
		if got := lastMessage(t, jetStream(t, i.URL())); got != fault.name {
			t.Errorf("after %s: got %q", fault.name, got)
		}
	}
}

func TestNATSWithoutJetStream(t *testing.T) {
	t.Parallel()
	i := brokers.NATSWithoutJetStream(t, brokers.NATS2)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	_, err := jetStream(t, i.URL()).AccountInfo(ctx)
	if !errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		t.Errorf("ask for the account = %v, want %v", err, jetstream.ErrJetStreamNotEnabled)
	}
}

func TestNATSTLSAsksForACertificateAndAPassword(t *testing.T) {
	t.Parallel()
	i := brokers.NATSTLS(t, brokers.NATS2)
	js := jetStream(t, i.URL(), nats.Secure(i.TLS))
	createStream(t, js, 1)
	publishJetStream(t, js, "value")

	bare := i.TLS.Clone()
	bare.Certificates = nil
	if conn, err := nats.Connect(i.URL(), nats.Secure(bare)); err == nil {
		conn.Close()
		t.Error("a client without a certificate was let in")
	}
	if conn, err := nats.Connect("tls://"+i.Addr, nats.Secure(i.TLS)); !errors.Is(err, nats.ErrAuthorization) {
		if err == nil {
			conn.Close()
		}
		t.Errorf("connect without the password = %v, want %v", err, nats.ErrAuthorization)
	}
}

func TestNATSClusterSurvivesANode(t *testing.T) {
	t.Parallel()
	cluster := brokers.NewNATSCluster(t, brokers.NATS2)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	js := jetStream(t, cluster.URL(), nats.MaxReconnects(-1))
	stream := createStream(t, js, len(cluster.Nodes))
	if n := len(stream.CachedInfo().Cluster.Replicas); n != len(cluster.Nodes)-1 {
		t.Errorf("the leader has %d followers, want %d", n, len(cluster.Nodes)-1)
	}
	publishJetStream(t, js, "before")
	node := cluster.Nodes[1]
	if err := node.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	// It may have led the stream, which then has no leader for a moment.
	err := await(ctx, func(ctx context.Context) error {
		_, err := js.Publish(ctx, streamSubject(t), []byte("meanwhile"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Await(ctx); err != nil {
		t.Fatal(err)
	}
	if got := lastMessage(t, jetStream(t, node.URL())); got != "meanwhile" {
		t.Errorf("the node that came back has %q", got)
	}
}

func TestSharedNATSClusterIsShared(t *testing.T) {
	t.Parallel()
	cluster := brokers.NATSCluster(t, brokers.NATS2)
	if again := brokers.NATSCluster(t, brokers.NATS2); again != cluster {
		t.Error("a second call started another one")
	}
	js := jetStream(t, cluster.URL())
	createStream(t, js, len(cluster.Nodes))
	publishJetStream(t, js, "value")
}

// jetStream returns a client that is closed when the test ends.
func jetStream(t *testing.T, url string, options ...nats.Option) jetstream.JetStream {
	t.Helper()
	conn, err := nats.Connect(url, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// streamName names a stream after the test.
func streamName(t *testing.T) string {
	return strings.NewReplacer("/", "-", ".", "-").Replace(t.Name())
}

func streamSubject(t *testing.T) string { return streamName(t) + ".jobs" }

func createStream(t *testing.T, js jetstream.JetStream, replicas int) jetstream.Stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name:      streamName(t),
		Subjects:  []string{streamSubject(t)},
		Retention: jetstream.WorkQueuePolicy,
		Replicas:  replicas,
	})
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

func publishJetStream(t *testing.T, js jetstream.JetStream, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	if _, err := js.Publish(ctx, streamSubject(t), []byte(body)); err != nil {
		t.Fatal(err)
	}
}

// lastMessage reads what was published last, from a stream whose leader may just be chosen.
func lastMessage(t *testing.T, js jetstream.JetStream) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var got string
	err := await(ctx, func(ctx context.Context) error {
		stream, err := js.Stream(ctx, streamName(t))
		if err != nil {
			return err
		}
		message, err := stream.GetLastMsgForSubject(ctx, streamSubject(t))
		if err != nil {
			return err
		}
		got = string(message.Data)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}
