package idempotency_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/idempotency"
	"github.com/batch-go/batch/idempotency/storetest"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) idempotency.Store { return idempotency.NewMemory(0) })
}

// begin fails the test unless the key is in the state that is wanted.
func begin(t *testing.T, m *idempotency.Memory, key string, ttl time.Duration, want idempotency.State) idempotency.Claim {
	t.Helper()
	claim, state, err := m.Begin(t.Context(), key, ttl)
	if err != nil || state != want {
		t.Fatalf("the key %s is %s, want %s; error %v", key, state, want, err)
	}
	return claim
}

// Expiry is to the nanosecond.
func TestMemoryExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := idempotency.NewMemory(0)
		claim := begin(t, m, "k", time.Minute, idempotency.Fresh)
		time.Sleep(time.Minute - 1)
		begin(t, m, "k", time.Minute, idempotency.InProgress)
		if err := m.Extend(t.Context(), claim, time.Minute); err != nil {
			t.Fatalf("extend in the last nanosecond: %v", err)
		}
		time.Sleep(time.Minute)
		if err := m.Extend(t.Context(), claim, time.Minute); !errors.Is(err, idempotency.ErrLost) {
			t.Fatalf("extend when the claim has expired: %v", err)
		}
		if err := m.Complete(t.Context(), claim, time.Minute); !errors.Is(err, idempotency.ErrLost) {
			t.Fatalf("complete when the claim has expired: %v", err)
		}
		claim = begin(t, m, "k", time.Minute, idempotency.Fresh)
		if err := m.Complete(t.Context(), claim, time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - 1)
		begin(t, m, "k", time.Minute, idempotency.Done)
		time.Sleep(1 * time.Nanosecond)
		if m.Len() != 0 {
			t.Errorf("%d keys are remembered after all have expired", m.Len())
		}
	})
}

func TestMemoryBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10
		m := idempotency.NewMemory(limit)
		for i := range limit {
			begin(t, m, fmt.Sprint(i), time.Duration(limit-i)*time.Minute, idempotency.Fresh)
		}
		if _, _, err := m.Begin(t.Context(), "one more", time.Minute); !errors.Is(err, idempotency.ErrFull) {
			t.Fatalf("a key more than there is room for: %v", err)
		}
		begin(t, m, "0", time.Minute, idempotency.InProgress) // known keys are answered
		time.Sleep(time.Minute)
		begin(t, m, "one more", time.Minute, idempotency.Fresh) // in the place of the one that expired first
		if m.Len() != limit {
			t.Errorf("%d keys are remembered, want %d", m.Len(), limit)
		}
	})
}

func TestMemoryMistakes(t *testing.T) {
	if _, _, err := idempotency.NewMemory(0).Begin(t.Context(), "", time.Minute); err == nil {
		t.Error("an empty key was taken")
	}
	defer func() {
		if recover() == nil {
			t.Error("a negative limit was taken")
		}
	}()
	idempotency.NewMemory(-1)
}
