package table

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestKey(t *testing.T) {
	if _, err := Key(""); err == nil {
		t.Error("the empty key was taken")
	}
	seen := make(map[string]string)
	keys := []string{"k", "\x00", strings.Repeat("k", 224), strings.Repeat("k", 255), strings.Repeat("k", 256), strings.Repeat("k", 257),
		strings.Repeat("k", 255) + "a", strings.Repeat("k", 70_000)}
	for _, key := range keys {
		stored, err := Key(key)
		if err != nil || len(stored) > MaxKey {
			t.Errorf("a key of %d bytes is stored with %d; error %v", len(key), len(stored), err)
		}
		if len(key) <= 255 && string(stored) != key {
			t.Errorf("a key of %d bytes is not stored as it is", len(key))
		}
		if other, ok := seen[string(stored)]; ok {
			t.Errorf("keys of %d and %d bytes are stored as one", len(key), len(other))
		}
		seen[string(stored)] = key
		// What is stored of a long key is no key that is stored as it is.
		if again, err := Key(string(stored)); len(key) > 255 && (err != nil || string(again) == string(stored)) {
			t.Errorf("what is stored of a key of %d bytes is itself a key", len(key))
		}
	}
}

func TestMicros(t *testing.T) {
	for d, want := range map[time.Duration]int64{1: 1, 999: 1, 1000: 1, 1001: 2, time.Hour: 3_600_000_000} {
		if n, err := Micros(d); n != want || err != nil {
			t.Errorf("%s is %d µs, want %d; error %v", d, n, want, err)
		}
	}
	for _, d := range []time.Duration{0, -time.Second} {
		if _, err := Micros(d); err == nil {
			t.Errorf("the duration %s was taken", d)
		}
	}
}

// What passes is tried again for ten seconds, and what does not pass is not.
func TestAgain(t *testing.T) {
	passing, lasting := errors.New("passes"), errors.New("lasts")
	passes := func(err error) bool { return err == passing }
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		err := Again(t.Context(), passes, func() error {
			if calls++; calls < 5 {
				return passing
			}
			return nil
		})
		if err != nil || calls != 5 {
			t.Errorf("%d calls, and the error %v", calls, err)
		}
		calls = 0
		if err := Again(t.Context(), passes, func() error { calls++; return lasting }); err != lasting || calls != 1 {
			t.Errorf("%d calls of what does not pass, and the error %v", calls, err)
		}
		start := time.Now()
		if err := Again(t.Context(), passes, func() error { return passing }); err != passing {
			t.Errorf("the error is %v", err)
		}
		if took := time.Since(start); took < patience || took > patience+time.Second {
			t.Errorf("tried for %s, want %s", took, patience)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start = time.Now()
		if err := Again(ctx, passes, func() error { return passing }); err != passing || time.Since(start) != time.Second {
			t.Errorf("the error is %v after %s, want it when the context ends", err, time.Since(start))
		}
	})
}

func TestSQLStates(t *testing.T) {
	for code, want := range map[string][2]bool{"40001": {true, false}, "40P01": {true, false}, "53100": {false, true}, "53300": {}, "42P01": {}, "": {}} {
		if got := [2]bool{Passes(code), IsFull(code)}; got != want {
			t.Errorf("%q passes and is full: %v, want %v", code, got, want)
		}
	}
}

// Four times as many rows are to go as can come.
func TestCleansNow(t *testing.T) {
	const calls = 64_000
	n := 0
	for range calls {
		if CleansNow() {
			n++
		}
	}
	if n < 700 || n > 1300 { // ten standard deviations
		t.Errorf("%d of %d calls clean, want some 1000", n, calls)
	}
}
