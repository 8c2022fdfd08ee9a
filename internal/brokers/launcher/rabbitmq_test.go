package main

import (
	"context"
	"crypto/tls"
	"errors"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/internal/brokers"
)

func TestRabbitMQServesEveryVersion(t *testing.T) {
	want := map[brokers.Version]string{brokers.RabbitMQ3: "rabbitmq 3.", brokers.RabbitMQ40: "rabbitmq 4.0.", brokers.RabbitMQ4: "rabbitmq 4."}
	overridden := len(brokers.RabbitMQVersions()) != len(want)
	for _, v := range brokers.RabbitMQVersions() {
		t.Run(string(v), func(t *testing.T) {
			t.Parallel()
			i := brokers.RabbitMQ(t, v)
			if !overridden && !strings.HasPrefix(i.String(), want[v]) {
				t.Errorf("got %s, want %s", i, want[v])
			}
			ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
			defer cancel()
			ch := rabbitmqChannel(t, i)
			declareQuorum(t, ch)
			publishConfirmed(ctx, t, ch, "value")
			if got := getOne(t, ch); got != "value" {
				t.Errorf("got %q, want %q", got, "value")
			}
			if again := brokers.RabbitMQ(t, v); again != i {
				t.Errorf("a second call started another broker: %s and %s", i.Addr, again.Addr)
			}
		})
	}
}

func TestRabbitMQRestartKeepsQueues(t *testing.T) {
	t.Parallel()
	i := brokers.NewRabbitMQ(t, brokers.RabbitMQ4)
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	declareQuorum(t, rabbitmqChannel(t, i))
	// A kill soon after the declaration may cost a quorum queue. The first restart is a clean one, and
	// by the second the queue is no longer new.
	for _, fault := range restarts(ctx, i) {
		publishConfirmed(ctx, t, rabbitmqChannel(t, i), fault.name)
		if err := fault.do(); err != nil {
			t.Fatalf("%s: %v", fault.name, err)
		}
		// Just after a start the queue may have no leader yet, and every question closes the connection.
		err := await(ctx, func(context.Context) error {
			conn, err := amqp.Dial(i.URL())
			if err != nil {
				return err
			}
			ch, err := conn.Channel()
			if err != nil {
				return errors.Join(err, conn.Close())
			}
			got, ok, err := ch.Get(t.Name(), true)
			if err != nil {
				return errors.Join(err, conn.Close())
			}
			if !ok {
				return errors.Join(errors.New("the queue is empty"), conn.Close())
			}
			if string(got.Body) != fault.name {
				t.Errorf("after %s: got %q", fault.name, got.Body)
			}
			return conn.Close()
		})
		if err != nil {
			t.Fatalf("after %s: %v", fault.name, err)
		}
	}
}

func TestRabbitMQTLSAsksForACertificate(t *testing.T) {
	t.Parallel()
	i := brokers.RabbitMQTLS(t, brokers.RabbitMQ4)
	conn, err := amqp.DialTLS(i.URL(), i.TLS)
	if err != nil {
		t.Fatal(err)
	}
	closeClient(t, conn)

	pair, err := tls.X509KeyPair(i.Certificate, i.Key)
	if err != nil {
		t.Fatal(err)
	}
	if pair.Leaf.Subject.CommonName == "" || !strings.HasPrefix(string(i.CA), "-----BEGIN CERTIFICATE") {
		t.Error("the certificates are not in the instance")
	}
	stranger := i.TLS.Clone()
	stranger.Certificates = nil
	if conn, err := amqp.DialTLS(i.URL(), stranger); err == nil {
		closeClient(t, conn)
		t.Error("a client without a certificate was let in")
	}
}

func TestRabbitMQSettingsAndCommands(t *testing.T) {
	t.Parallel()
	i := brokers.NewRabbitMQ(t, brokers.RabbitMQ4, "channel_max = 7")
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	conn, err := amqp.Dial(i.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer closeClient(t, conn)
	if conn.Config.ChannelMax != 7 {
		t.Errorf("the server allows %d channels, want the 7 of its settings", conn.Config.ChannelMax)
	}
	if _, err := i.Exec(ctx, "rabbitmqctl", "add_vhost", "another"); err != nil {
		t.Fatal(err)
	}
	out, err := i.Exec(ctx, "rabbitmqctl", "list_vhosts")
	if err != nil || !strings.Contains(out, "another") {
		t.Errorf("list_vhosts = %q, %v, want another", out, err)
	}
	if _, err := i.Exec(ctx, "rabbitmqctl", "add_vhost"); err == nil {
		t.Error("a command that fails is no error")
	}
}

// rabbitmqChannel returns a channel on a connection that is closed when the test ends.
func rabbitmqChannel(t *testing.T, i *brokers.Instance) *amqp.Channel {
	t.Helper()
	conn, err := amqp.Dial(i.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(); err != nil && !errors.Is(err, amqp.ErrClosed) {
			t.Error(err)
		}
	})
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

// declareQuorum declares a queue that is named after the test.
func declareQuorum(t *testing.T, ch *amqp.Channel) {
	t.Helper()
	if _, err := ch.QueueDeclare(t.Name(), true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		t.Fatal(err)
	}
}

// publishConfirmed publishes to the test's queue and returns when the server has the message.
func publishConfirmed(ctx context.Context, t *testing.T, ch *amqp.Channel, body string) {
	t.Helper()
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	message := amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)}
	confirmation, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", t.Name(), true, false, message)
	if err != nil {
		t.Fatal(err)
	}
	if acked, err := confirmation.WaitContext(ctx); err != nil || !acked {
		t.Fatalf("the message was not confirmed: %v", err)
	}
}

// getOne takes a message from the test's queue.
func getOne(t *testing.T, ch *amqp.Channel) string {
	t.Helper()
	got, ok, err := ch.Get(t.Name(), true)
	if err != nil || !ok {
		t.Fatalf("get: %v, %v", ok, err)
	}
	return string(got.Body)
}
