package batch_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/batch-go/batch"
)

// FuzzPrepared reads any text as the stored form of a prepared job: what is accepted is
// written again and read as the same.
func FuzzPrepared(f *testing.F) {
	const head = `{"version":1,"id":"a","kind":"k","content_type":"text/plain","enqueued_at":"2026-01-02T03:04:05.678Z"`
	for _, text := range []string{
		``, `{}`, `null`, `[]`, head, head + `}`, head + `} `, head + `}{}`, head + `,"other":1}`, head + `,"timeout_ms":9223372036854775807}`, head + `,"timeout_ms":-1}`,
		head + `,"body":"AAE=","headers":{"a":"/w=="},"expires_at":"9999-12-31T23:59:59Z","due_at":"2026-01-02T03:04:05Z","max_attempts":3,"timeout_ms":1,"level":"high","unique_key":"u","unique_within_ms":5000,"not_applied":["x"]}`,
		head + `,"group":"g"}`, head + `,"group":"g","due_at":"2026-01-02T03:04:05Z"}`, head + `,"level":"highest"}`, head + `,"level":7}`, head + `,"unique_within_ms":1}`,
		`{"version":2}`, `{"version":1e0,"id":"a"}`, strings.Repeat("[", 10_000),
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var p batch.Prepared
		if err := p.UnmarshalJSON(text); err != nil {
			if !errors.Is(err, batch.ErrInvalid) || p.ID() != "" {
				t.Errorf("%q: %v, and a job %q", text, err, p.ID())
			}
			return
		}
		written, err := json.Marshal(p)
		if err != nil {
			t.Fatalf("%q cannot be written again: %v", text, err)
		}
		var again batch.Prepared
		if err := json.Unmarshal(written, &again); err != nil {
			t.Fatalf("%q was written as %s: %v", text, written, err)
		}
		if twice, err := json.Marshal(again); err != nil || string(twice) != string(written) {
			t.Errorf("%q was written as %s and then as %s: %v", text, written, twice, err)
		}
	})
}

// FuzzParseLevel reads any text as a level, and levels as text.
func FuzzParseLevel(f *testing.F) {
	for _, name := range []string{"", "normal", "HIGH", "Critical", "Level(7)", "lo\u212a", "\xff", strings.Repeat("x", 100)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		level, err := batch.ParseLevel(name)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		text, err := level.MarshalText()
		var again batch.Level
		if err != nil || again.UnmarshalText(text) != nil || again != level || !strings.EqualFold(string(text), name) {
			t.Errorf("%q is %v, written as %q: %v", name, level, text, err)
		}
	})
}
