package depths

import (
	"context"
	"testing"

	"github.com/batch-go/batch/driver"
)

// A source that is closed asks nobody, not even with a context that has ended.
func TestReadAfterClose(t *testing.T) {
	b := &broker{depth: func(context.Context, string) (driver.Depth, error) { return driver.Depth{}, nil }}
	s := source(t, b, "a")
	s.Close(t.Context())
	if q := s.Read(t.Context()); q[0].Err == nil || !q[0].At.IsZero() {
		t.Errorf("read %+v", q)
	}
	if calls, _ := b.seen(); calls != 0 || s.Looking() {
		t.Errorf("%d calls after Close, looking %v", calls, s.Looking())
	}
}
