package fifo

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestQueue: items come out in the order in which they came in, whatever is pushed and taken
// between, and none is kept when it is out.
func TestQueue(t *testing.T) {
	seed := time.Now().UnixNano()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(uint64(seed), 0))
	var q Queue[*int]
	var want []*int
	for i := range 20_000 {
		if i%2000 < 1000 == (random.IntN(3) > 0) { // it grows and shrinks
			q.Push(&i)
			want = append(want, &i)
		} else if len(want) > 0 {
			if got := q.Pop(); got != want[0] {
				t.Fatalf("step %d: %d came out, want %d", i, *got, *want[0])
			}
			want = want[1:]
		}
		if q.Len() != len(want) {
			t.Fatalf("step %d: it has %d items, want %d", i, q.Len(), len(want))
		}
		if len(want) > 0 {
			if k := random.IntN(len(want)); *q.At(k) != want[k] {
				t.Fatalf("step %d: another item is at %d of %d", i, k, len(want))
			}
		}
	}
	kept := 0
	for _, item := range q.items[:cap(q.items)] {
		if item != nil {
			kept++
		}
	}
	if kept != q.Len() {
		t.Errorf("it keeps %d items of %d", kept, q.Len())
	}
}

// TestQueueReusesMemory: constant load takes no memory.
func TestQueueReusesMemory(t *testing.T) {
	var q Queue[int]
	step := func() {
		q.Push(1)
		q.Pop()
	}
	for range 100 {
		q.Push(0)
	}
	for range 1000 {
		step()
	}
	if n := testing.AllocsPerRun(10_000, step); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
	defer func() {
		if recover() == nil {
			t.Error("an item that is not there does not panic")
		}
	}()
	q.At(q.Len())
}
