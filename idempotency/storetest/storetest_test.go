package storetest_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/storetest"
)

// broken is the memory store with a fault.
type broken struct {
	idempotency.Store
	fault string
}

func (s *broken) Begin(ctx context.Context, key string, ttl time.Duration) (idempotency.Claim, idempotency.State, error) {
	switch s.fault {
	case "keys":
		key = strings.ToLower(key)
	case "concurrent", "once":
		if s.fault == "once" || strings.Contains(key, "concurrent") {
			return idempotency.Claim{Key: key, Token: 1}, idempotency.Fresh, nil
		}
	case "expiry":
		ttl = time.Hour
	case "context":
		ctx = context.WithoutCancel(ctx)
	}
	return s.Store.Begin(ctx, key, ttl)
}

func (s *broken) Extend(ctx context.Context, claim idempotency.Claim, ttl time.Duration) error {
	if s.fault == "extend" {
		return nil
	}
	return s.Store.Extend(ctx, claim, ttl)
}

func (s *broken) Complete(ctx context.Context, claim idempotency.Claim, retention time.Duration) error {
	switch s.fault {
	case "retention":
		retention = time.Hour
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
	return s.Store.Abandon(ctx, claim)
}

func TestSubject(t *testing.T) {
	if fault := os.Getenv("STORETEST_FAULT"); fault != "" {
		storetest.Run(t, func(*testing.T) idempotency.Store {
			return &broken{idempotency.NewMemory(0), fault}
		})
	}
}

// Each fault must fail the case of its name, in a process of its own.
func TestRunFails(t *testing.T) {
	for _, fault := range []string{"once", "keys", "abandon", "expiry", "extend", "retention", "fencing", "complete-again", "concurrent", "context"} {
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
