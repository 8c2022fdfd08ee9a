package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/storetest"
)

var roots = []string{"/some/folder"}

func mustOpen(t *testing.T, path string, reset bool) *results {
	t.Helper()
	r, err := openResults(path, roots, reset)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// finish claims a key and stores its result.
func finish(t *testing.T, r *results, key string) {
	t.Helper()
	held, state, err := r.Begin(t.Context(), key, time.Hour)
	if err != nil || state != idempotency.Fresh {
		t.Fatalf("Begin: %s, %v", state, err)
	}
	if err := r.Append(held, record{Path: "/" + key, Bytes: 1}); err != nil {
		t.Fatal(err)
	}
}

// TestResultsAreAStore holds the results to the contract of package idempotency.
func TestResultsAreAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) idempotency.Store {
		r := mustOpen(t, filepath.Join(t.TempDir(), "results.jsonl"), false)
		t.Cleanup(func() { r.Close() })
		return r
	})
}

// TestResultsFenceOff is about a handler that lost its claim and comes late.
func TestResultsFenceOff(t *testing.T) {
	r := mustOpen(t, filepath.Join(t.TempDir(), "results.jsonl"), false)
	defer r.Close()
	held, _, err := r.Begin(t.Context(), "a", time.Nanosecond)
	if err != nil {
		t.Fatal(err)
	}
	finish(t, r, "a")
	if err := r.Append(held, record{Path: "/late"}); !errors.Is(err, idempotency.ErrLost) {
		t.Errorf("Append under a claim that was lost: %v", err)
	}
	if rec, _ := r.Get("a"); rec.Path != "/a" {
		t.Errorf("the result is that of %s", rec.Path)
	}
}

func TestResultsGoOnAfterACrash(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	r := mustOpen(t, path, false)
	run := r.Run()
	for _, key := range []string{"a", "b"} {
		finish(t, r, key)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.Close()

	// A crash may cut the last line anywhere.
	last := strings.LastIndexByte(strings.TrimSpace(string(whole)), '\n') + 1
	for cut := last; cut <= len(whole); cut++ {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		r := mustOpen(t, path, false)
		_, a := r.Get("a")
		_, b := r.Get("b")
		if r.Run() != run || !r.resumed || !a || b != (cut == len(whole)) {
			t.Fatalf("cut at %d of %d: run %s, want %s; a %v, b %v", cut, len(whole), r.Run(), run, a, b)
		}
		finish(t, r, "c")
		r.Close()
		r = mustOpen(t, path, false)
		if _, c := r.Get("c"); !c {
			t.Fatalf("cut at %d: what was appended later is not there", cut)
		}
		r.Close()
	}
}

func TestResultsStartOver(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results.jsonl")
	r := mustOpen(t, path, false)
	first := r.Run()
	finish(t, r, "a")
	r.Close()

	r = mustOpen(t, path, true)
	second := r.Run()
	if _, ok := r.Get("a"); ok || second == first || r.Replaced() != first {
		t.Errorf("after a reset: run %s, replaced %q, first %s, a there: %v", second, r.Replaced(), first, ok)
	}
	if err := r.Finish(); err != nil {
		t.Fatal(err)
	}
	r.Close()

	r = mustOpen(t, path, false)
	defer r.Close()
	if r.Run() == second || r.resumed {
		t.Error("a run that is complete was gone on with")
	}
}

func TestResultsRefuse(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	r := mustOpen(t, taken, false)
	defer r.Close()

	other := filepath.Join(dir, "other-roots")
	o, err := openResults(other, []string{"/elsewhere"}, false)
	if err != nil {
		t.Fatal(err)
	}
	o.Close()

	damaged := filepath.Join(dir, "damaged")
	mustOpen(t, damaged, false).Close()
	appendTo(t, damaged, "no JSON\n")

	foreign := filepath.Join(dir, "foreign")
	appendTo(t, foreign, "a diary\n")

	for _, tt := range []struct {
		path  string
		reset bool
		want  string
	}{
		{taken, false, "in use by another quickstart"},
		{other, false, `belongs to a run over ["/elsewhere"]`},
		{damaged, false, "line 2 of " + damaged + " cannot be read"},
		{foreign, false, "not a results file"},
		{foreign, true, "not a results file"},
	} {
		if r, err := openResults(tt.path, roots, tt.reset); err == nil {
			r.Close()
			t.Errorf("%s was opened", tt.path)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.path, err, tt.want)
		}
	}
	if data, _ := os.ReadFile(foreign); string(data) != "a diary\n" {
		t.Errorf("a file that is not ours was changed to %q", data)
	}
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
