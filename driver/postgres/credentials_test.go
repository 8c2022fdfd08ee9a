package postgres

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

// shown is what verbs, encoders and the log make of a value.
func shown(v any) string {
	var b strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	text, err := json.Marshal(v)
	fmt.Fprintf(&b, "%s %v\n", text, err)
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	return b.String()
}

// TestErrorsHideCredentials: no error of a server that refuses, or is not there, has the password.
func TestErrorsHideCredentials(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t"
	for _, address := range []string{
		asRole(t, plainURL(t), "batch", secret), asRole(t, plainURL(t), "nobody", secret),
		"postgres://u:" + secret + "@127.0.0.1:1/d", "postgres://u:" + secret + "@127.0.0.1:1,127.0.0.1:2/d?sslmode=require",
		"postgres://u:" + secret + "@127.0.0.1:1/d?sslmode=" + secret,
	} {
		_, err := Open(testContext(t), address)
		if err == nil || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s: %v", address, err)
		}
		if s := shown(err); strings.Contains(s, secret) {
			t.Errorf("%s: the error is shown as %s", address, s)
		}
	}
}
