package storetest_test

import (
	"context"
	"errors"
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
	true   map[idempotency.Claim]idempotency.Claim // of claims with made-up tokens
}

func (s *broken) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	switch s.fault {
	case "keys":
		key = strings.ToLower(key)
	case "long-keys":
		claim, state, err := s.Store.Begin(ctx, cut(key), ttl)
		if state == idempotency.Fresh {
			claim.Key = key
		}
		return claim, state, err
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
	case "context":
		ctx = context.WithoutCancel(ctx)
	case "takeover", "race":
		return s.yields(ctx, key, ttl)
	case "tokens":
		return s.countsByKey(ctx, key, ttl)
	}
	return s.Store.Begin(ctx, key, ttl)
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

// countsByKey gives tokens that begin again when the key has been claimed five times, as those of a row do that was
// deleted.
func (s *broken) countsByKey(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	claim, state, err := s.Store.Begin(ctx, key, ttl)
	if state != idempotency.Fresh {
		return claim, state, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	told := idempotency.Claim{Key: key, Token: uint64(s.called[key]%5) + 1}
	s.called[key]++
	s.true[told] = claim
	return told, state, nil
}

// real is the claim that the store knows.
func (s *broken) real(claim idempotency.Claim) idempotency.Claim {
	s.mu.Lock()
	defer s.mu.Unlock()
	if real, ok := s.true[claim]; ok {
		return real
	}
	if s.fault == "long-keys" {
		claim.Key = cut(claim.Key)
	}
	return claim
}

func (s *broken) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	if s.fault == "extend" {
		return nil
	}
	return s.Store.Extend(ctx, s.real(claim), ttl)
}

func (s *broken) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	claim = s.real(claim)
	switch s.fault {
	case "retention":
		retention = time.Hour
	case "spans":
		if retention > 365*24*time.Hour {
			return errors.New("out of range")
		}
	case "complete-again":
		if _, state, err := s.Store.Begin(ctx, claim.Key, time.Hour); err == nil && state == idempotency.Done {
			return idempotency.ErrLost
		}
	case "fencing":
		if err := s.Store.Complete(ctx, claim, retention); !errors.Is(err, idempotency.ErrLost) {
			return err
		}
		return nil
	}
	return s.Store.Complete(ctx, claim, retention)
}

func (s *broken) Abandon(ctx context.Context, claim idempotency.Claim) error {
	if s.fault == "abandon" {
		return nil
	}
	return s.Store.Abandon(ctx, s.real(claim))
}

// TestSubject runs the rules on a broken store, if TestRunFails says which. Memory stores share nothing, and have the
// clock of their process: two faults that need no more.
func TestSubject(t *testing.T) {
	fault := os.Getenv("STORETEST_FAULT")
	if fault == "" {
		return
	}
	storetest.RunShared(t, func(*testing.T) idempotency.Store {
		return &broken{Store: idempotency.NewMemory(0), fault: fault, called: make(map[string]int), true: make(map[idempotency.Claim]idempotency.Claim)}
	})
}

// Each fault must fail the case of its name, in a process of its own.
func TestRunFails(t *testing.T) {
	for _, fault := range []string{"once", "keys", "long-keys", "empty", "spans", "abandon", "expiry", "extend", "retention", "tokens",
		"fencing", "complete-again", "concurrent", "takeover", "race", "context", "shared", "clock"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			command := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "TestSubject/^"+fault+"$", "-test.v")
			command.Env = append(os.Environ(), "STORETEST_FAULT="+fault)
			out, err := command.CombinedOutput()
			if err == nil || !strings.Contains(string(out), "--- FAIL: TestSubject/"+fault) || !strings.Contains(string(out), "rule: ") {
				t.Errorf("the case did not find it: %v\n%s", err, out)
			}
		})
	}
}
