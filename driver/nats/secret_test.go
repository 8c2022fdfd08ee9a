package nats_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver/nats"
)

// secret is a credential that nothing may show.
const secret = "Pa55phrase"

// shows tells whether anything that prints a value has the secret.
func shows(t *testing.T, v any) bool {
	t.Helper()
	var all bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		fmt.Fprintf(&all, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(&all, nil)).Error("text", "value", v)
	slog.New(slog.NewJSONHandler(&all, nil)).Error("json", "value", v)
	_ = json.NewEncoder(&all).Encode(v) // not every value has one
	text := all.String()
	return strings.Contains(text, secret) || strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", secret))
}

// TestCredentialsAreNotShown: no error of any form of a URL, and no way to print a driver,
// repeats a credential.
func TestCredentialsAreNotShown(t *testing.T) {
	directory := t.TempDir()
	broken := writeFile(t, directory, "broken.creds", []byte("-----BEGIN NATS USER JWT-----\n"+secret+"\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\nSU"+secret+"\n------END USER NKEY SEED------\n"))
	seed := writeFile(t, directory, "broken.nk", []byte("SU"+secret))
	ts := startServer(t, `authorization { users: [ { user: u, password: "`+secret+`" }, { user: "`+secret+`", password: p } ] }`)
	host := strings.TrimPrefix(ts.url(), "nats://")
	for _, url := range []string{
		"nats://u:" + secret + "@" + host + "?nonsense=1", "nats://u:" + secret + "@" + host + "/path", "nats://u:" + secret + "?@" + host,
		"nats://u:" + secret + "/@" + host, "nats://u:" + secret + "@@" + host, "nats://u:" + secret + "%zz@" + host, "nats://u:" + secret + " @" + host,
		"nats://u:" + secret + "#@" + host, "nats://u:x" + secret + "@" + host, "nats://" + secret + "@" + host, "nats://" + secret + ":wrong@" + host,
		"nats://u:" + secret + "@nowhere.invalid:1", "nats://u:" + secret + "@127.0.0.1:1", "nats://u:" + secret + "@" + host + "?token=" + secret,
		"nats://" + host + "?token=" + secret, "nats://" + host + "?token=" + secret + "&replicas=x", "nats://" + host + "?token=" + secret + "%zz",
		"nats://" + host + "?tokens=" + secret, "nats://" + host + "?token=" + secret + "&token=" + secret,
		"tls://u:" + secret + "@" + host, "nats:u:" + secret + "@" + host, "u:" + secret + "@" + host, "nats://u:" + secret + "@" + host + ":x",
		"nats://" + host + "?creds=" + broken, "nats://" + host + "?nkey=" + seed,
	} {
		d, err := nats.Open(testContext(t), url)
		if err == nil {
			closeDriver(t, d)
			t.Errorf("%s was opened", url)
			continue
		}
		if shows(t, err) {
			t.Errorf("the error of %s repeats the credential: %v", url, err)
		}
	}
	d := openURL(t, "nats://u:"+secret+"@"+host)
	q := declare(t, d)
	enqueue(t, d, q, message("job"))
	c := consume(t, d, q, 30*time.Second)
	// Before it is used: a consumer at work is not for printing.
	values := map[string]any{"driver": d, "consumer": c, "info": d.Info()}
	for what, v := range values {
		if shows(t, v) {
			t.Errorf("the %s shows the credential", what)
		}
	}
	if shows(t, receive(t, c, 1)[0]) {
		t.Error("a delivery shows the credential")
	}
}
