package health

import (
	"context"
	"fmt"
	"testing"

	"github.com/batch-go/batch"
)

// What ends without a word of the broker is no answer, and a refusal is one.
func TestWhatIsAnAnswer(t *testing.T) {
	for _, test := range []struct {
		call batch.Call
		want bool
	}{
		{batch.Call{Op: batch.OpSettle}, true},
		{batch.Call{Op: batch.OpSettle, Err: batch.ErrLeaseLost}, true},
		{batch.Call{Op: batch.OpDepth, Err: fmt.Errorf("gone: %w", batch.ErrNotFound)}, true},
		{batch.Call{Op: batch.OpReceive, Jobs: 1}, true},
		{batch.Call{Op: batch.OpReceive}, false},
		{batch.Call{Op: batch.OpReceive, Err: context.Canceled}, false},
		{batch.Call{Op: batch.OpAbandon}, false},
		{batch.Call{Op: batch.OpStop}, false},
		{batch.Call{Op: batch.OpClose}, false},
		{batch.Call{Op: batch.OpDepth, Err: batch.ErrUnavailable}, false},
		{batch.Call{Op: batch.OpExtend, Err: context.DeadlineExceeded}, false},
		{batch.Call{Op: batch.OpDepth, Err: batch.ErrClosed}, false},
	} {
		if got := isAnswer(test.call); got != test.want {
			t.Errorf("%+v: %t, want %t", test.call, got, test.want)
		}
	}
}
