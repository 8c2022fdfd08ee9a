package amqp

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// shows checks that a value does not print a word, in any verb or encoder.
func shows(t *testing.T, what string, value any, word string) {
	t.Helper()
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		fmt.Fprintf(&b, verb+"\n", value)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("text", "value", value)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("json", "value", value)
	if text, err := json.Marshal(value); err == nil {
		b.Write(text)
	}
	if text := b.String(); strings.Contains(text, word) || strings.Contains(text, fmt.Sprintf("%x", word)) {
		t.Errorf("%s shows the password: %s", what, text)
	}
}

// Nothing that the driver makes shows the password.
func TestCredentialsAreNotShown(t *testing.T) {
	t.Parallel() // it waits for those who do not answer
	const word = "hush"
	server := brokers.RabbitMQ(t, brokers.RabbitMQ4)
	d, err := Open(testContext(t), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	// On the test's broker the password is that of the user, which may be shown.
	d.config.password = secretOf(word)
	q := queue(t, d)
	enqueue(t, d, q, message("a"))
	c := consume(t, d, q, 1)
	got := receive(t, c)
	for what, value := range map[string]any{
		"a Driver": d, "a Driver's value": *d, "a PriorityDriver": &PriorityDriver{d.base}, "a base": d.base, "a configuration": d.config, "a configuration's value": *d.config,
		"a Consumer": c, "a Delivery": got, "a Receipt": got.Receipt, "Info": d.Info(),
	} {
		shows(t, what, value, word)
	}
	closeDriver(t, d)
	for what, err := range map[string]error{
		"of a closed driver": d.Declare(testContext(t), q), "of a wrong password": openError(t, "amqp://guest:x-hush-y@"+server.Addr),
		"of a wrong parameter": openError(t, "amqp://u:hush@h?heartbeat=1ms&x=1"), "of a password with a slash": openError(t, "amqp://u:hush/hush@h"),
		"of a password with a question mark": openError(t, "amqp://u:12?hush@h"), "of nobody there": openError(t, "amqp://u:hush@127.0.0.1:1"),
	} {
		if err == nil {
			t.Fatalf("no error %s", what)
		}
		shows(t, "an error "+what, err, word)
	}
}

// openError is the error of opening a URL.
func openError(t *testing.T, raw string) error {
	t.Helper()
	d, err := Open(testContext(t), raw)
	if err == nil {
		closeDriver(t, d)
	}
	return err
}
