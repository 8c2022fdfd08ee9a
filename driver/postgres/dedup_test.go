package postgres

import (
	"errors"
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestTwins: of messages of one call with the same key the first counts, and the others share its fate.
func TestTwins(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	got := d.Enqueue(testContext(t), q, []*driver.Message{message("a", dedup("k")), message("b"), message("c", dedup("k")), message("d", dedup("l"))})
	want := []driver.Result{{}, {}, {Duplicate: true, DuplicateOf: "a"}, {}}
	check(t, got, want)
	// The first is a duplicate of a job of an earlier call, and so is its twin.
	got = d.Enqueue(testContext(t), q, []*driver.Message{message("e", dedup("k")), message("f", dedup("k"))})
	check(t, got, []driver.Result{{Duplicate: true, DuplicateOf: "a"}, {Duplicate: true, DuplicateOf: "a"}})
	// The first is refused, and its twin takes its place.
	late := message("g", dedup("m"))
	late.Delay = maxDelay + 1
	got = d.Enqueue(testContext(t), q, []*driver.Message{late, message("h", dedup("m")), message("i", dedup("m"))})
	if !errors.Is(got[0].Err, driver.ErrConfig) && !errors.Is(got[0].Err, driver.ErrUnsupported) {
		t.Errorf("a delay beyond the bound: %v", got[0].Err)
	}
	check(t, got[1:], []driver.Result{{}, {Duplicate: true, DuplicateOf: "h"}})
	if got := depth(t, d, q); got.Waiting != 4 {
		t.Errorf("the depth is %+v", got)
	}
	// Nothing is stored, and each says why.
	for i, r := range d.Enqueue(testContext(t), "no-"+q, []*driver.Message{message("j", dedup("n")), message("k", dedup("n"))}) {
		if !errors.Is(r.Err, driver.ErrNotFound) {
			t.Errorf("result %d: %+v", i, r)
		}
	}
}

// check compares results.
func check(t *testing.T, got, want []driver.Result) {
	t.Helper()
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("result %d is %+v, want %+v", i, got[i], want[i])
		}
	}
}
