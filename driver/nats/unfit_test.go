package nats_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/brokers"
)

// refused demands that an error has a kind, says a word, and stored nothing.
func refused(t *testing.T, what string, err, kind error, word string) {
	t.Helper()
	if !errors.Is(err, kind) || !strings.Contains(err.Error(), word) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("%s: %v; want %v that says %q", what, err, kind, word)
	}
}

func TestOldServer(t *testing.T) {
	server := brokers.NATS(t, brokers.NATS29)
	_, err := nats.Open(testContext(t), server.URL())
	refused(t, "a server of before schedules", err, driver.ErrUnsupported, "2.9")
	refused(t, "a server of before schedules", err, driver.ErrUnsupported, "2.12.3 is needed")
}

func TestJetStreamOff(t *testing.T) {
	server := brokers.NATSWithoutJetStream(t, brokers.NATS2)
	_, err := nats.Open(testContext(t), server.URL())
	refused(t, "a server without JetStream", err, driver.ErrUnsupported, "JetStream is off")
}

func TestJetStreamOffForTheAccount(t *testing.T) {
	ts := startServer(t, `accounts { poor { users: [ { user: u, password: p } ] } }`)
	_, err := nats.Open(testContext(t), strings.Replace(ts.url(), "nats://", "nats://u:p@", 1))
	refused(t, "an account without JetStream", err, driver.ErrUnsupported, "JetStream")
}

func TestWrongCredentials(t *testing.T) {
	ts := startServer(t, `authorization { user: u, password: right }`)
	for what, url := range map[string]string{
		"no user":        ts.url(),
		"wrong password": strings.Replace(ts.url(), "nats://", "nats://u:wrong@", 1),
		"a token":        ts.url() + "?token=wrong",
	} {
		_, err := nats.Open(testContext(t), url)
		refused(t, what, err, driver.ErrUnauthorized, "refused")
		if strings.Contains(err.Error(), "wrong@") {
			t.Errorf("%s: the error repeats the credentials: %v", what, err)
		}
	}
	d, err := nats.Open(testContext(t), strings.Replace(ts.url(), "nats://", "nats://u:right@", 1))
	if err != nil {
		t.Fatal(err)
	}
	closeDriver(t, d)
}

// TestPermissions has the rights that docs/wire-nats.md lists suffice, and one
// less of them be an error that says so.
func TestPermissions(t *testing.T) {
	publish := []string{"batch.*.>", "$JS.API.INFO", "$JS.API.STREAM.>", "$JS.API.CONSUMER.>", "$JS.API.DIRECT.GET.*", "$JS.ACK.>"}
	user := func(name string, publish []string) string {
		return fmt.Sprintf(`{ user: %s, password: p, permissions { publish: [ "%s" ], subscribe: "_INBOX.>" } }`, name, strings.Join(publish, `", "`))
	}
	ts := startServer(t, "authorization { users: [", user("all", publish), user("less", publish[1:]), "] }")
	at := func(name string) string { return strings.Replace(ts.url(), "nats://", "nats://"+name+":p@", 1) }
	d := openURL(t, at("all"))
	q := declare(t, d)
	exercise(t, d, q)

	less := openURL(t, at("less"))
	r := less.Enqueue(testContext(t), q, []*driver.Message{message("job")})
	if len(r) != 1 {
		t.Fatalf("results are %+v", r)
	}
	refused(t, "an enqueue without the right to publish", r[0].Err, driver.ErrUnauthorized, "permission")
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = nats.Open(testContext(t), "nats://"+address)
	refused(t, "nobody listens", err, driver.ErrUnavailable, "address")
}

// TestSilentServer connects to one that accepts and says nothing.
func TestSilentServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = nats.Open(testContext(t), "nats://"+l.Addr().String()+"?dial_timeout=50ms")
	refused(t, "nobody answers", err, driver.ErrUnavailable, "")
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = nats.Open(ctx, "nats://"+l.Addr().String())
	refused(t, "nobody answers in time", err, driver.ErrUnavailable, "")
}

func TestSmallPayload(t *testing.T) {
	ts := startServer(t, `max_payload: 102400`)
	_, err := nats.Open(testContext(t), ts.url())
	refused(t, "a server for small messages", err, driver.ErrUnsupported, "max_payload")
}

// TestForeignStream declares queues where somebody else made a stream or
// changed one, and names the field.
func TestForeignStream(t *testing.T) {
	ts := startServer(t)
	d := openURL(t, ts.url()+"?replicas=1")
	ctx := testContext(t)
	js := rawJetStream(t, ts.url())
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "batch-other", Subjects: []string{"other"}}); err != nil {
		t.Fatal(err)
	}
	refused(t, "a stream of that name", d.Declare(ctx, "other"), driver.ErrConflict, "subjects")
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "mine", Subjects: []string{"batch.taken.*"}}); err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(ctx, "taken"); err == nil {
		t.Error("a queue whose subjects are another stream's was declared")
	}
	for field, change := range map[string]func(*jetstream.StreamConfig){
		"max_age":                   func(c *jetstream.StreamConfig) { c.MaxAge = time.Hour },
		"max_msgs":                  func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 },
		"max_bytes":                 func(c *jetstream.StreamConfig) { c.MaxBytes = 1 << 20 },
		"max_msgs_per_subject":      func(c *jetstream.StreamConfig) { c.MaxMsgsPerSubject = 10 },
		"allow_atomic":              func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false },
		"duplicate_window":          func(c *jetstream.StreamConfig) { c.Duplicates = time.Second },
		"max_msg_size":              func(c *jetstream.StreamConfig) { c.MaxMsgSize = 1000 },
		"subject_delete_marker_ttl": func(c *jetstream.StreamConfig) { c.SubjectDeleteMarkerTTL = time.Minute },
	} {
		queue := strings.ReplaceAll(field, "_", "-")
		if err := d.Declare(ctx, queue); err != nil {
			t.Fatal(err)
		}
		stream, err := js.Stream(ctx, "batch-"+queue)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		change(&config)
		if _, err := js.UpdateStream(ctx, config); err != nil {
			t.Fatalf("%s: %v", field, err)
		}
		refused(t, field, d.Declare(ctx, queue), driver.ErrConflict, field+" ")
	}
	if err := d.Declare(ctx, "consumer"); err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(ctx, "batch-consumer", "jobs")
	if err != nil {
		t.Fatal(err)
	}
	config := c.CachedInfo().Config
	config.MaxDeliver = 5
	if _, err := js.UpdateConsumer(ctx, "batch-consumer", config); err != nil {
		t.Fatal(err)
	}
	refused(t, "a consumer that gives up", d.Declare(ctx, "consumer"), driver.ErrConflict, "max_deliver")
	three := openURL(t, ts.url()+"?replicas=3")
	if err := d.Declare(ctx, "replicas"); err != nil {
		t.Fatal(err)
	}
	refused(t, "another number of replicas", three.Declare(ctx, "replicas"), driver.ErrConflict, "num_replicas")
	refused(t, "more replicas than servers", three.Declare(ctx, "more"), driver.ErrUnsupported, "replicas")
}

func TestFullServer(t *testing.T) {
	ts := startServer(t, `jetstream { max_file_store: 4194304 }`)
	d := openURL(t, ts.url())
	q := declare(t, d)
	var err error
	for n := 0; n < 100 && err == nil; n++ {
		m := message("large")
		m.Body = make([]byte, 500<<10)
		for _, r := range d.Enqueue(testContext(t), q, []*driver.Message{m}) {
			err = r.Err
		}
	}
	refused(t, "a server without room", err, driver.ErrFull, "")
}

func TestTLS(t *testing.T) {
	server := brokers.NATSTLS(t, brokers.NATS2)
	directory := t.TempDir()
	file := func(name string, content []byte) string { return writeFile(t, directory, name, content) }
	certificates := "?tls_ca=" + file("ca.pem", server.CA) + "&tls_cert=" + file("cert.pem", server.Certificate) + "&tls_key=" + file("key.pem", server.Key)
	d := openURL(t, server.URL()+certificates)
	q := declare(t, d)
	exercise(t, d, q)
	_, err := nats.Open(testContext(t), server.URL())
	refused(t, "a certificate of an authority that is not known", err, driver.ErrUnavailable, "TLS")
}
