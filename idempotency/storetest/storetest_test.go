package storetest_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/storetest"
)

// broken is the memory store with a fault.
type broken struct {
	idempotency.Store
	fault string

	mu     sync.Mutex // guards following
	begun  int
	called map[string]int
	true   map[idempotency.Claim]idempotency.Claim // of claims as they were told
	last   map[string]idempotency.Claim            // on each key
	kept   map[string]time.Time                    // until when keys are done beyond their retention
}

func (s *broken) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	stored := key
	switch s.fault {
	case "keys: case":
		stored = strings.ToLower(key)
	case "keys: blanks":
		stored = strings.TrimRight(key, " ")
	case "keys: zero":
		stored, _, _ = strings.Cut(key, "\x00")
	case "long-keys":
		stored = cut(key)
	case "empty":
		if key == "" {
			return idempotency.Claim{}, idempotency.Done, nil
		}
	case "concurrent", "once":
		if s.fault == "once" || strings.Contains(key, "concurrent") {
			return idempotency.Claim{Key: key, Token: 1}, idempotency.Fresh, nil
		}
	case "expiry":
		ttl = time.Hour
	case "expiry: early":
		ttl /= 2
	case "context":
		ctx = context.WithoutCancel(ctx)
	case "complete-again: longer":
		if s.keeps(key) {
			return idempotency.Claim{}, idempotency.Done, nil
		}
	case "takeover", "race":
		return s.yields(ctx, key, ttl)
	}
	claim, state, err := s.Store.Begin(ctx, stored, ttl)
	if state == idempotency.Fresh {
		claim = s.tell(key, claim)
	}
	return claim, state, err
}

// keeps tells whether a key is done beyond its retention.
func (s *broken) keeps(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Before(s.kept[key])
}

// tell returns the claim on a key that the caller gets for that of the store: with tokens that begin again when the key
// has been claimed five times, as those of a row do that was deleted, or that never grow.
func (s *broken) tell(key string, claim idempotency.Claim) idempotency.Claim {
	told := idempotency.Claim{Key: key, Token: claim.Token}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.fault {
	case "tokens":
		told.Token = uint64(s.called[key]%5) + 1
		s.called[key]++
	case "abandon: token", "expiry: token", "retention: token":
		told.Token = 7
	}
	s.true[told] = claim
	s.last[key] = claim
	return told
}

// cut is what a column of 255 bytes has of a key.
func cut(key string) string { return key[:min(len(key), 255)] }

// yields gives some keys that are held to another caller: in a takeover, one of those that come at once, and in a
// race now and then.
func (s *broken) yields(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called[key]++
	claim, state, err := s.Store.Begin(ctx, key, ttl)
	every := 20
	if s.fault == "race" {
		every = 7
	}
	if state == idempotency.InProgress && s.called[key]%every == 0 {
		s.begun++
		return idempotency.Claim{Key: key, Token: 1000 + uint64(s.begun)}, idempotency.Fresh, nil
	}
	return claim, state, err
}

// real is the claim that the store knows.
func (s *broken) real(claim idempotency.Claim) idempotency.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if real, ok := s.true[claim]; ok {
		return real
	}
	return claim
}

// never is an error without ErrLost, if the fault is this one.
func (s *broken) never(fault string, err error) error {
	if s.fault == fault && errors.Is(err, idempotency.ErrLost) {
		return nil
	}
	return err
}

func (s *broken) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	switch s.fault {
	case "extend":
		return nil
	case "race": // in which others must come meanwhile
		while := time.NewTimer(time.Millisecond)
		<-while.C
	case "context: extend":
		ctx = context.WithoutCancel(ctx)
	}
	return s.never("fencing: extend", s.never("extend: done", s.Store.Extend(ctx, s.real(claim), ttl)))
}

func (s *broken) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	key := claim.Key
	claim = s.real(claim)
	switch s.fault {
	case "retention":
		retention = time.Hour
	case "retention: early":
		retention /= 2
	case "once: done":
		return nil
	case "spans":
		if retention > 365*24*time.Hour {
			return errors.New("out of range")
		}
	case "complete-again", "complete-again: longer":
		if _, state, err := s.Store.Begin(ctx, claim.Key, time.Hour); err != nil || state != idempotency.Done {
			break
		}
		if s.fault == "complete-again" {
			return idempotency.ErrLost
		}
		s.mu.Lock()
		s.kept[key] = time.Now().Add(retention)
		s.mu.Unlock()
	case "context: complete":
		ctx = context.WithoutCancel(ctx)
	}
	return s.never("fencing", s.never("abandon: complete", s.Store.Complete(ctx, claim, retention)))
}
func (s *broken) Abandon(ctx context.Context, claim idempotency.Claim) error {
	real := s.real(claim)
	switch s.fault {
	case "abandon":
		return nil
	case "abandon: again":
		if s.Store.Extend(ctx, real, time.Hour) != nil {
			return idempotency.ErrLost
		}
	case "fencing: abandon":
		s.mu.Lock()
		real = s.last[claim.Key]
		s.mu.Unlock()
	case "context: abandon":
		ctx = context.WithoutCancel(ctx)
	}
	return s.Store.Abandon(ctx, real)
}

// TestSubject runs the rules on a broken store, if TestRunFails says which. Memory stores share nothing, and have the
// clock of their process: two faults that need no more.
func TestSubject(t *testing.T) {
	fault := os.Getenv("STORETEST_FAULT")
	if fault == "" {
		return
	}
	storetest.RunShared(t, func(*testing.T) idempotency.Store {
		return &broken{Store: idempotency.NewMemory(0), fault: fault, called: make(map[string]int), true: make(map[idempotency.Claim]idempotency.Claim),
			last: make(map[string]idempotency.Claim), kept: make(map[string]time.Time)}
	})
}

func TestMain(m *testing.M) {
	flag.Parse()                                            // before, nobody knows what is given
	if err := flag.Set("test.parallel", "12"); err != nil { // most of the time they wait
		panic(err)
	}
	os.Exit(m.Run())
}

// faults begin with the name of the rule that each breaks.
var faults = []string{
	"once", "once: done", "keys: case", "keys: blanks", "keys: zero", "long-keys", "empty", "spans",
	"abandon", "abandon: token", "abandon: complete", "abandon: again", "expiry", "expiry: early", "expiry: token",
	"extend", "extend: done", "retention", "retention: early", "retention: token", "tokens",
	"fencing", "fencing: extend", "fencing: abandon", "complete-again", "complete-again: longer", "concurrent", "takeover", "race",
	"context", "context: extend", "context: complete", "context: abandon", "shared", "clock",
}

// Each fault must fail the case of its rule, in a process of its own.
func TestRunFails(t *testing.T) {
	for _, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			rule, _, _ := strings.Cut(fault, ":")
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestSubject/^"+rule+"$", "-test.v")
			command.Env = append(os.Environ(), "STORETEST_FAULT="+fault)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestSubject/"+rule) || !strings.Contains(string(out), "rule: ") {
				t.Errorf("the case did not find it: %v\n%s", err, out)
			}
		})
	}
}
