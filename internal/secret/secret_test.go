package secret_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/batch-go/batch/internal/secret"
)

const hush = `s3cr"t/hush?`

// open shows all that it has.
type open struct{ password string }

// pointed has it behind a pointer, which %v prints as a number, and %s as what it points to.
type pointed struct{ inner *open }

// far has it behind two, which fmt does not follow.
type far struct{ inner **open }

// lettered has the secret as bytes, and prints it as numbers.
type lettered struct{ password []byte }

// closed hides what it has, but not where fmt may not call its methods.
type closed struct{ password string }

// Format prints nothing of it.
func (closed) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "closed") }

// tagged gives it to encoders.
type tagged struct{ Password string }

// Format prints nothing of it.
func (tagged) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "tagged") }

// logged gives it to slog alone.
type logged struct{}

// LogValue has the secret.
func (logged) LogValue() slog.Value { return slog.StringValue(hush) }

// silent shows nothing, wherever it stands.
type silent struct{ password func() string }

// wrapper is an error whose own text is harmless.
type wrapper struct{ error }

// Error is that text.
func (wrapper) Error() string { return "it failed" }

// Unwrap returns what it hides.
func (w wrapper) Unwrap() error { return w.error }

func TestFind(t *testing.T) {
	inner := &open{hush}
	for _, row := range []struct {
		value any
		shown bool
	}{
		{hush, true}, {[]byte(hush), true}, {open{hush}, true}, {&open{hush}, true},
		{pointed{&open{hush}}, true}, {&pointed{&open{hush}}, true}, {far{&inner}, false}, {lettered{[]byte(hush)}, true},
		{closed{hush}, true}, {tagged{hush}, true}, {logged{}, true},
		{silent{func() string { return hush }}, false}, {nil, false}, {42, false}, {(*open)(nil), false},
		{fmt.Errorf("dial %s: no", hush), true}, {errors.New("no"), false},
		{wrapper{fmt.Errorf("dial %s: no", hush)}, true}, {errors.Join(errors.New("no"), wrapper{errors.New(hush)}), true},
		{fmt.Errorf("parse %q", hush), true}, {errors.New("redis://user:s3cr%22t%2Fhush%3F@host"), true},
		{errors.New("czNjciJ0L2h1c2g/"), true},
	} {
		found := secret.Find(row.value, "another", hush)
		if (len(found) > 0) != row.shown {
			t.Errorf("in %T: %q, want some: %t", row.value, found, row.shown)
		}
		for _, line := range found {
			if strings.Contains(line, hush) {
				t.Errorf("a line repeats the secret: %s", line)
			}
		}
	}
}
