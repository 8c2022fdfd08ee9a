package amqp_test

import (
	"context"
	"crypto/tls"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/amqp"
	"github.com/batch-go/batch/internal/brokers"
)

// TestConformance runs the suite on every version of RabbitMQ that the driver
// supports, each in a container of its own, which the suite crashes, freezes and
// cuts off in the end. The oldest version speaks TLS, with a client certificate, and the
// newest does not: what TLS changes lies below what the versions differ in.
func TestConformance(t *testing.T) {
	for _, version := range brokers.RabbitMQVersions() {
		if version == brokers.RabbitMQ3 {
			continue // refused: TestOpenRefusesOldBrokers
		}
		name, own, address := string(version), brokers.OwnOrRabbitMQ, plainURL
		if version == brokers.RabbitMQ40 {
			name, own, address = name+"-tls", brokers.NewRabbitMQTLS, tlsURL
		}
		t.Run(name, func(t *testing.T) {
			server := own(t, version)
			u := address(t, server)
			h := harness(u, server.String(), server.TLS)
			if h.StopCounts = stopCounts(t, u); h.StopCounts != "" {
				h.BehindBacklog = "RabbitMQ before 4.3 takes what is returned for lost, so that a release is a new message"
			}
			if version != brokers.RabbitMQ4 {
				h.LikeAnother()
			}
			if server.Ours() {
				h.Restart = func(ctx context.Context) error {
					if err := registered(ctx, server); err != nil {
						return err
					}
					return server.Crash(ctx)
				}
				h.Freeze = server.Freezer(t)
				h.Cut = func(ctx context.Context) error {
					_, err := server.Exec(ctx, "rabbitmqctl", "close_all_connections", "cut")
					return err
				}
			}
			conformance.Run(t, h)
		})
	}
}

// stopCounts is why the suite does not check whether a job counts that a quorum queue
// was about to push to a consumer as that stopped; empty where it does. See the package
// comment, and TestStopUnderLoad for what counts there and what does not.
func stopCounts(t *testing.T, address string) string {
	t.Helper()
	d, err := openURL(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	version := d.Info().Version
	for _, old := range []string{"4.0.", "4.1.", "4.2."} {
		if strings.HasPrefix(version, old) {
			return "RabbitMQ " + version + " returns by itself what it has not sent to a consumer that is cancelled, and counts that"
		}
	}
	return ""
}

// registered returns when the broker has written down which quorum queues it has.
// It does so up to a second after they were declared, and comes back from a crash
// before that with queues that are dead: ra_directory.erl opens its table with
// auto_save. No client can ask for it; see the package comment.
func registered(ctx context.Context, server *brokers.Instance) error {
	_, err := server.Exec(ctx, "rabbitmqctl", "eval", "[dets:sync(T) || T <- dets:all()].")
	return err
}

// behindBacklog is why the suite does not check the place of a job that comes back to a
// queue with priorities.
const behindBacklog = "quorum queues hand out first what came back, whatever its priority, and classic queues do not count it, so that it is stored anew"

// TestConformancePriority runs it on both kinds of queues with priorities, side by side:
// neither has the cases that disturb the network or the broker, and where one waits, the
// other has the machine.
func TestConformancePriority(t *testing.T) {
	t.Run("quorum", func(t *testing.T) {
		t.Parallel()
		server := brokers.RabbitMQ(t, brokers.RabbitMQ4)
		h := harness(with(t, server.URL(), "priority", "quorum"), server.String(), nil)
		h.BehindBacklog = behindBacklog
		h.Parallel, h.Waiting = h.Parallel/2, h.Parallel
		h.LikeAnother()
		conformance.Run(t, h)
	})
	t.Run("classic", func(t *testing.T) {
		t.Parallel()
		server := brokers.RabbitMQ(t, brokers.RabbitMQ40)
		h := harness(with(t, server.URL(), "priority", "classic"), server.String(), nil)
		h.BehindBacklog = behindBacklog
		h.Parallel, h.Waiting = h.Parallel/2, h.Parallel
		h.LikeAnother()
		conformance.Run(t, h)
	})
}

// TestOpenRefusesOldBrokers opens a broker from before the oldest that is
// supported.
func TestOpenRefusesOldBrokers(t *testing.T) {
	t.Parallel() // it starts brokers of its own
	server := brokers.NewRabbitMQ(t, brokers.RabbitMQ3)
	for _, address := range []string{server.URL(), with(t, server.URL(), "priority", "quorum"), with(t, server.URL(), "priority", "classic")} {
		refused(t, address)
	}
	// This one is new enough, but for priorities in quorum queues.
	refused(t, with(t, brokers.NewRabbitMQ(t, brokers.RabbitMQ40).URL(), "priority", "quorum"))
}

func refused(t *testing.T, address string) {
	t.Helper()
	d, err := openURL(t.Context(), address)
	if err == nil {
		_ = d.Close(t.Context())
	}
	if !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("open: the error is %v, want one that wraps %q", err, driver.ErrUnsupported)
	}
}

func openURL(ctx context.Context, address string) (driver.Driver, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, err
	}
	if p := u.Query().Get("priority"); p != "" && p != "none" {
		d, err := amqp.OpenPriority(ctx, address)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
	d, err := amqp.Open(ctx, address)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// harness is for a server that the URL opens. The configuration of TLS is for what opens it
// without batch, nil if the server speaks plain TCP.
func harness(address, name string, secure *tls.Config) conformance.Harness {
	h := conformance.Harness{
		Parallel: 32,
		Open:     func(ctx context.Context) (driver.Driver, error) { return openURL(ctx, address) },
		URL:      address,
		Broker:   name,
	}
	if u, err := url.Parse(address); err == nil {
		h.Addr = u.Host
		h.OpenAt = func(ctx context.Context, addr string) (driver.Driver, error) {
			other := *u
			other.Host = addr
			return openURL(ctx, other.String())
		}
		bare := *u
		bare.RawQuery = ""
		h.Foreign = func(ctx context.Context, queue string, body []byte) error {
			return publish(ctx, bare.String(), secure, queue, body)
		}
	}
	return h
}

// publish does what a program that does not know batch might.
func publish(ctx context.Context, address string, secure *tls.Config, queue string, body []byte) error {
	conn, err := amqp091.DialConfig(address, amqp091.Config{Heartbeat: 10 * time.Second, TLSClientConfig: secure})
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "batch."+queue, true, false, amqp091.Publishing{Body: body})
	if err != nil {
		return err
	}
	_, err = confirm.WaitContext(ctx)
	return err
}

// with adds a parameter to a URL.
func with(t testing.TB, address, name, value string) string {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// plainURL is the URL of an instance that speaks plain TCP.
func plainURL(_ testing.TB, server *brokers.Instance) string { return server.URL() }

// tlsURL names the instance's certificates by files.
func tlsURL(t testing.TB, server *brokers.Instance) string {
	t.Helper()
	address := server.URL()
	for name, pem := range map[string][]byte{"tls_ca": server.CA, "tls_cert": server.Certificate, "tls_key": server.Key} {
		file := filepath.Join(t.TempDir(), name+".pem")
		if err := os.WriteFile(file, pem, 0o600); err != nil {
			t.Fatal(err)
		}
		address = with(t, address, name, file)
	}
	return address
}
