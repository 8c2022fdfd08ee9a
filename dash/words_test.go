package dash

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

func TestGist(t *testing.T) {
	for text, want := range map[string]string{
		"":                                   "",
		"dial tcp 10.0.0.7:5432: refused":    "dial tcp #.#.#.#:#: refused",
		"user 0199a2c4-77aa-7000 is unknown": "user # is unknown",
		"template: field .Name":              "template: field .Name",
		"first line\nsecond 2":               "first line …",
		"größe 3 läuft":                      "größe # läuft",
		"a\x00b":                             "a\uFFFDb",
	} {
		if got := gist(text); got != want {
			t.Errorf("gist(%q) = %q, want %q", text, got, want)
		}
		if again := gist(gist(text)); again != gist(text) {
			t.Errorf("the gist of the gist of %q is %q", text, again)
		}
	}
	if a, b := gist("job 17 of 300 failed"), gist("job 4 of 9000 failed"); a != b {
		t.Errorf("errors of one cause are told apart: %q and %q", a, b)
	}
}

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		" a \n": "a", "a\nb": "a …", "abcdefghijk": "abcdefghi…", strings.Repeat("ü", 1000): strings.Repeat("ü", 9) + "…", "a\u202eb": "a\uFFFDb", "\xff": "\uFFFD",
	} {
		if got := line(text, 10); got != want {
			t.Errorf("line(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestNumbers(t *testing.T) {
	for n, want := range map[int64]string{batch.UnknownCount: "unknown", 0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567"} {
		if got := count(n); got != want {
			t.Errorf("count(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{-1000: "-1,000", -100: "-100", -12: "-12"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q, want %q", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		-time.Second: "0.0s", 400 * time.Millisecond: "0.4s", 12 * time.Second: "12s", 5*time.Minute + 12*time.Second: "5m12s", time.Hour: "1h", 76 * time.Hour: "3d4h",
	} {
		if got := short(d); got != want {
			t.Errorf("short(%s) = %q, want %q", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1536: "1.5 KiB", 3 << 20: "3.0 MiB"} {
		if got := size(n); got != want {
			t.Errorf("size(%d) = %q, want %q", n, got, want)
		}
	}
}

// A Config that is out of bounds is refused before the broker is asked, with the field that is wrong.
func TestNewRefuses(t *testing.T) {
	d := newBroker(t)
	var none *memory.Driver
	for _, test := range []struct {
		driver batch.Driver
		config Config
		field  string
	}{
		{nil, Config{}, "driver"},
		{none, Config{}, "driver"},
		{d, Config{Interval: time.Millisecond}, "Interval"},
		{d, Config{Interval: 2 * time.Hour}, "Interval"},
		{d, Config{Timeout: -1}, "Timeout"},
		{d, Config{Timeout: time.Hour}, "Timeout"},
		{d, Config{ActionTimeout: time.Millisecond}, "ActionTimeout"},
		{d, Config{Queues: []string{"a", "a"}}, "Queues"},
		{d, Config{Queues: []string{"no name"}}, "queue name"},
		{d, Config{TrustedOrigins: []string{"ops.example.com"}}, "TrustedOrigins"},
		{d, Config{TrustedOrigins: []string{"https://ops.example.com/batch"}}, "TrustedOrigins"},
	} {
		h, err := New(test.driver, test.config)
		var invalid *batch.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), test.field) {
			t.Errorf("%+v: %v, want an error about %s", test.config, err, test.field)
		}
		if h != nil {
			t.Errorf("%+v: a handler was made", test.config)
			_ = h.Close()
		}
	}
}
