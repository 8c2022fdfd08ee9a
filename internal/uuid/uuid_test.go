package uuid

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestForm(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	for range 1000 {
		if id := NewV7(time.Now()); !form.MatchString(id) {
			t.Fatalf("%s is no UUID of version 7 and variant 10", id)
		}
	}
	id := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	if got := text(id); got != "00010203-0405-0607-0809-0a0b0c0d0e0f" {
		t.Errorf("the bytes 0 to 15 are written %s", got)
	}
}

func TestTimeIsInIt(t *testing.T) {
	before := time.Now().UnixMilli()
	id := NewV7(time.Now())
	after := time.Now().UnixMilli()
	milli, err := strconv.ParseInt(strings.ReplaceAll(id[:13], "-", ""), 16, 64)
	if err != nil {
		t.Fatal(err)
	}
	// More than 4096 in a millisecond, as another test makes, run ahead of the clock.
	if milli < before || milli > after+1000 {
		t.Errorf("%s is of %d ms, and was made between %d and %d", id, milli, before, after)
	}
}

// TestOrderAndUniqueness makes many within few milliseconds, on several goroutines.
func TestOrderAndUniqueness(t *testing.T) {
	const goroutines, each = 8, 20_000
	made := make([][]string, goroutines)
	var all sync.WaitGroup
	for i := range made {
		all.Go(func() {
			for range each {
				made[i] = append(made[i], NewV7(time.Now()))
			}
		})
	}
	all.Wait()
	seen := make(map[string]bool)
	for _, ids := range made {
		if !slices.IsSorted(ids) {
			t.Error("one goroutine's are not in the order in which it made them")
		}
		for _, id := range ids {
			// Without the random part, which is different anyway.
			if time := id[:18]; seen[time] {
				t.Fatalf("two have the time of %s", id)
			} else {
				seen[time] = true
			}
		}
	}
}

func TestRandomPartDiffers(t *testing.T) {
	seen := make(map[string]bool)
	for range 10_000 {
		seen[NewV7(time.Now())[19:]] = true
	}
	if len(seen) < 10_000 {
		t.Errorf("10000 UUIDs have %d different random parts", len(seen))
	}
}

// TestNext goes through what a clock can do.
func TestNext(t *testing.T) {
	at := func(milli, nanos int64) time.Time { return time.Unix(0, milli*1e6+nanos) }
	of := func(milli, part int64) int64 { return milli<<12 | part }
	var last atomic.Int64
	for _, step := range []struct {
		name string
		now  time.Time
		want int64
	}{
		{"a time", at(1000, 0), of(1000, 0)},
		{"the same again", at(1000, 0), of(1000, 1)},
		{"half a millisecond later", at(1000, 500_000), of(1000, 2048)},
		{"the last of the millisecond", at(1000, 999_999), of(1000, 4095)},
		{"the same again, which is the next millisecond's", at(1000, 999_999), of(1001, 0)},
		{"a clock that was set back", at(10, 0), of(1001, 1)},
		{"a clock that goes on", at(1002, 0), of(1002, 0)},
	} {
		if got := next(&last, step.now); got != step.want {
			t.Errorf("%s: %d and %d/4096 ms, want %d and %d", step.name, got>>12, got&0xfff, step.want>>12, step.want&0xfff)
		}
	}
}

func TestAllocations(t *testing.T) {
	if n := testing.AllocsPerRun(1000, func() { NewV7(time.Now()) }); n > 2 {
		t.Errorf("%v allocations, want the text and the random bytes at most", n)
	}
}

func BenchmarkNewV7(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewV7(time.Now())
	}
}
