package batchtest_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fakeTB is the testing.TB of a test that is to fail. The rest is that of the test around it.
type fakeTB struct {
	testing.TB

	mu       sync.Mutex // guards following
	helpers  map[string]bool
	messages []string
	places   []string // the files of the messages
	failed   bool
	skipped  bool
	cleanups []func()
}

func (f *fakeTB) Helper() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.helpers[callers(3)[0].Function] = true
}

// note notes a message, and the file in which package testing would say that it was written. f.mu must be held.
func (f *fakeTB) note(format string, args []any) {
	f.failed = true
	f.messages = append(f.messages, fmt.Sprintf(format, args...))
	for _, frame := range callers(4) {
		if !f.helpers[frame.Function] {
			f.places = append(f.places, filepath.Base(frame.File))
			return
		}
	}
}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(format, args)
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.note(format, args)
	runtime.Goexit()
}

func (f *fakeTB) FailNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = true
	runtime.Goexit()
}

func (f *fakeTB) SkipNow() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.skipped = true
	runtime.Goexit()
}

func (f *fakeTB) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.failed
}

func (f *fakeTB) Skipped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.skipped
}

func (f *fakeTB) Cleanup(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cleanups = append(f.cleanups, do)
}

// callers are the frames from skip on.
func callers(skip int) (frames []runtime.Frame) {
	pcs := make([]uintptr, 50)
	all := runtime.CallersFrames(pcs[:runtime.Callers(skip, pcs)])
	for more := true; more; {
		var frame runtime.Frame
		frame, more = all.Next()
		frames = append(frames, frame)
	}
	return frames
}

// try runs a test with a testing.TB of its own, to its end and through its cleanups.
func try(t testing.TB, test func(t testing.TB)) *fakeTB {
	t.Helper()
	f := &fakeTB{TB: t, helpers: make(map[string]bool)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() {
			for _, do := range slices.Backward(f.cleanups) {
				do()
			}
		}()
		test(f)
	}()
	<-ended
	return f
}

// wantFailure wants a test to fail with this message, in the file of the test.
func wantFailure(t testing.TB, want string, test func(t testing.TB)) {
	t.Helper()
	f := try(t, test)
	if len(f.messages) != 1 || f.messages[0] != strings.TrimSpace(want) {
		t.Fatalf("the test says:\n%s\nwant:\n%s", strings.Join(f.messages, "\n"), strings.TrimSpace(want))
	}
	_, file, _, _ := runtime.Caller(1)
	if want := filepath.Base(file); f.places[0] != want {
		t.Errorf("the failure is said to be in %s, want %s", f.places[0], want)
	}
}

// Welcome is the job of most of these tests.
type Welcome struct {
	UserID int    `json:"user_id"`
	Lang   string `json:"lang,omitempty"`
}

// Kind names it.
func (Welcome) Kind() string { return "email.welcome" }

// Goodbye is another one.
type Goodbye struct{ UserID int }

// Kind names it.
func (Goodbye) Kind() string { return "email.goodbye" }
