package memory

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSortedListAgainstSlice drives a sorted list and a sorted slice with the same random
// operations.
func TestSortedListAgainstSlice(t *testing.T) {
	r, seed := random(t)
	for round := range 20 {
		var shared chunkCache
		l := sortedList{cache: &shared}
		var model []*job
		compare := func(a, b *job) int {
			if a.before(b.at, b.seq) {
				return -1
			}
			return 1
		}
		spread := []int{1, 10, 100_000}[round%3]
		// Grow, stay as long for a while, so that chunks are full and changing,
		// and shrink.
		grow := 0.8
		for seq := range uint64(6000) {
			switch seq {
			case 1500:
				grow = 0.5
			case 4500:
				grow = 0.3
			}
			switch {
			case r.Float64() < grow || len(model) == 0:
				j := &job{at: instant(r.IntN(spread)), seq: seq + 1}
				l.push(j)
				i, _ := slices.BinarySearchFunc(model, j, compare)
				model = slices.Insert(model, i, j)
			case r.IntN(8) == 0:
				if got := l.pop(); got != model[0] {
					t.Fatalf("seed %d: popped %v, want %v", seed, got, model[0])
				}
				model = model[1:]
			default:
				i := r.IntN(len(model))
				l.remove(model[i])
				model = slices.Delete(model, i, i+1)
			}
			if l.n != len(model) {
				t.Fatalf("seed %d: length %d, want %d", seed, l.n, len(model))
			}
			if seq%100 == 0 {
				checkSortedList(t, seed, &l, model, r)
			}
		}
		for l.n > 0 {
			l.pop()
		}
		if len(l.chunks) != 0 {
			t.Fatalf("seed %d: an empty list has %d chunks", seed, len(l.chunks))
		}
	}
}

func checkSortedList(t *testing.T, seed uint64, l *sortedList, model []*job, r *rand.Rand) {
	t.Helper()
	collect := func(x iterator) (all []*job) {
		for j := x.peek(); j != nil; j = x.peek() {
			all = append(all, j)
			x.skip()
		}
		return all
	}
	if got := collect(l.after(0, 0)); !slices.Equal(got, model) {
		t.Fatalf("seed %d: the list has other jobs than the model", seed)
	}
	if len(model) == 0 {
		return
	}
	i := r.IntN(len(model))
	if got := collect(l.after(model[i].at, model[i].seq)); !slices.Equal(got, model[i+1:]) {
		t.Fatalf("seed %d: read %d jobs after position %d of %d", seed, len(got), i, len(model))
	}
	// A position whose job is gone is as good.
	gone := &job{at: model[i].at, seq: model[i].seq}
	l.remove(model[i])
	got := collect(l.after(gone.at, gone.seq))
	l.push(model[i])
	if !slices.Equal(got, model[i+1:]) {
		t.Fatalf("seed %d: read %d jobs after a removed one, want %d", seed, len(got), len(model)-i-1)
	}
}

// TestSortedListGivesMemoryBack fills a list and empties it in three ways.
func TestSortedListGivesMemoryBack(t *testing.T) {
	const n = 100_000
	for name, empty := range map[string]func(l *sortedList, jobs []*job){
		"from the front": func(l *sortedList, _ []*job) {
			for l.n > 10 {
				l.pop()
			}
		},
		"from the back": func(l *sortedList, jobs []*job) {
			for i := n - 1; i >= 10; i-- {
				l.remove(jobs[i])
			}
		},
		"all over": func(l *sortedList, jobs []*job) {
			for step := 2; step <= n; step *= 2 {
				for i := range jobs {
					if jobs[i] != nil && (i+1)%step != 0 {
						l.remove(jobs[i])
						jobs[i] = nil
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var shared chunkCache
			l := sortedList{cache: &shared}
			jobs := make([]*job, n)
			for i := range jobs {
				jobs[i] = &job{seq: uint64(i + 1)}
				l.push(jobs[i])
			}
			empty(&l, jobs)
			if l.n > 10 || len(l.chunks) > 2 {
				t.Fatalf("%d jobs are in %d chunks", l.n, len(l.chunks))
			}
			// A push lets go of the part of the slice that was left behind.
			for i := range uint64(4 * chunkSize) {
				l.push(&job{seq: n + i + 1})
			}
			for l.n > 0 {
				l.pop()
			}
			if cap(l.chunks) > 2*n/chunkSize {
				t.Fatalf("an empty list keeps an slice of %d", cap(l.chunks))
			}
		})
	}
}
