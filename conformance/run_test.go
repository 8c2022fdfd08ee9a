package conformance_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/internal/leak"
)

func TestMain(m *testing.M) { leak.Main(m) }

// broker makes a memory broker with a window that a case can wait for.
func broker(t testing.TB) *memory.Broker {
	b, err := memory.NewBroker(memory.Options{DedupWindow: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMemory(t *testing.T) {
	t.Parallel()
	b, other := broker(t), broker(t)
	conformance.Run(t, conformance.Harness{
		Open:    func(context.Context) (driver.Driver, error) { return b.Open() },
		URL:     "memory://",
		Restart: func(context.Context) error { b.Crash(); return nil },
		Waiting: 32,

		Transactions: transactionsOn(b, &faults{}), OtherTransactions: transactionsOn(other, &faults{}),
		OpenOther: func(context.Context) (driver.Driver, error) { return other.Open() },
	})
}

func TestPortable(t *testing.T) {
	t.Parallel()
	b := broker(t)
	conformance.Run(t, conformance.Harness{
		Open:    func(context.Context) (driver.Driver, error) { return b.OpenPortable() },
		Waiting: 32,
	})
}

// windowless is a driver that remembers no key, and says so where nobody may.
type windowless struct{ *memory.Driver }

// DedupWindow is shorter than any window that can be asked for.
func (windowless) DedupWindow() time.Duration { return time.Nanosecond }

// A window that is over before a second job can be enqueued is none: no case could judge
// what becomes of a duplicate.
func TestAWindowMustBeLongEnoughToJudge(t *testing.T) {
	h := conformance.Harness{Open: func(context.Context) (driver.Driver, error) { return windowless{memory.New()}, nil }}
	var v *conformance.Violation
	if err := find(t, "limits").Run(t.Context(), h); !errors.As(err, &v) || !strings.Contains(err.Error(), "DedupWindow is 1ns") {
		t.Errorf("a window of a nanosecond: %v", err)
	}
}
