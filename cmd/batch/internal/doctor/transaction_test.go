package doctor

import (
	"context"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// leaky is a driver whose transactions end as they are not told to.
type leaky struct {
	*memory.Driver
	commits func(commit bool) bool
}

func (d leaky) TryTx(ctx context.Context, queue string, messages []*driver.Message, commit bool) error {
	return d.Driver.TryTx(ctx, queue, messages, d.commits(commit))
}

// TestTransactions: a driver whose transactions leave what was rolled back, or lose what was committed, is found
// out, and one whose transactions are right is not.
func TestTransactions(t *testing.T) {
	for name, test := range map[string]struct {
		commits func(bool) bool
		wrong   bool
	}{
		"right":          {func(commit bool) bool { return commit }, false},
		"always commits": {func(bool) bool { return true }, true},
		"never commits":  {func(bool) bool { return false }, true},
	} {
		d := leaky{memory.New(), test.commits}
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		found := 0
		x := &examination{Options: Options{Timeout: time.Minute}, driver: d, report: func(driver.Finding) { found++ }}
		one := &trial{examination: x, queue: "q"}
		one.capabilities(t.Context())
		if wrong := found > 0; wrong != test.wrong || found > 1 {
			t.Errorf("%s: %d findings", name, found)
		}
	}
}
