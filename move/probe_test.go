package move_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/move"
)

// isProbe tells a dead letter that a mover uses to see whether source and target are two queues.
func isProbe(e batch.Entry) bool { return strings.HasPrefix(e.ID, "batch-move-probe-") }

// handles are two on one broker, as of two URLs that name it.
func handles(t *testing.T) (one, two *memory.Driver) {
	t.Helper()
	b, err := memory.NewBroker(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	one, _ = b.Open()
	two, _ = b.Open()
	t.Cleanup(func() {
		_ = one.Close(context.Background())
		_ = two.Close(context.Background())
	})
	return one, two
}

// TestMoveToItself: a queue that is moved to itself through a second handle is found out before anything of it is moved, and nothing is
// left of how.
func TestMoveToItself(t *testing.T) {
	for _, entries := range [][]batch.Entry{jobs(20, 0, 0), jobs(0, 5, 0), jobs(0, 0, 30)} {
		synctest.Test(t, func(t *testing.T) {
			one, two := handles(t)
			fill(t, one, "q", entries)
			want := content(t, one, "q")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
			defer cancel()
			p, err := move.Run(ctx, one, two, "q")
			if !errors.Is(err, batch.ErrInvalid) || !strings.Contains(err.Error(), "the source itself") || p.Moved() != 0 {
				t.Errorf("it says %+v, %v", p, err)
			}
			same(t, content(t, one, "q"), want)
		})
	}
}

// TestProbeIsGone: of the dead letter that tells whether two queues are one nothing is left, also where both brokers are of one kind.
func TestProbeIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		from, to := brokers(t)
		fill(t, from, "q", jobs(1, 0, 1))
		if p, err := move.Run(t.Context(), from, to, "q"); err != nil || p.Moved() != 2 {
			t.Errorf("%+v, %v", p, err)
		}
		if all := append(content(t, from, "q"), content(t, to, "q")...); len(all) != 2 || slices.ContainsFunc(all, isProbe) {
			t.Errorf("there are %+v", all)
		}
	})
}
