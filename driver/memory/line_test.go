package memory

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// TestLineAgainstSlice drives a line and a sorted slice with the same random
// operations.
func TestLineAgainstSlice(t *testing.T) {
	r, seed := random(t)
	for round := range 20 {
		var shared depot
		l := line{depot: &shared}
		var model []*job
		compare := func(a, b *job) int {
			if a.before(b.at, b.place) {
				return -1
			}
			return 1
		}
		spread := []int{1, 10, 100_000}[round%3]
		// Grow, stay as long for a while, so that chunks are full and changing,
		// and shrink.
		grow := 0.8
		for place := range uint64(6000) {
			switch place {
			case 1500:
				grow = 0.5
			case 4500:
				grow = 0.3
			}
			switch {
			case r.Float64() < grow || len(model) == 0:
				j := &job{at: instant(r.IntN(spread)), place: place + 1}
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
			if place%100 == 0 {
				checkLine(t, seed, &l, model, r)
			}
		}
		for l.n > 0 {
			l.pop()
		}
		if len(l.chunks) != 0 {
			t.Fatalf("seed %d: an empty line has %d chunks", seed, len(l.chunks))
		}
	}
}

func checkLine(t *testing.T, seed uint64, l *line, model []*job, r *rand.Rand) {
	t.Helper()
	collect := func(x reader) (all []*job) {
		for j := x.peek(); j != nil; j = x.peek() {
			all = append(all, j)
			x.skip()
		}
		return all
	}
	if got := collect(l.after(0, 0)); !slices.Equal(got, model) {
		t.Fatalf("seed %d: the line has other jobs than the model", seed)
	}
	if len(model) == 0 {
		return
	}
	i := r.IntN(len(model))
	if got := collect(l.after(model[i].at, model[i].place)); !slices.Equal(got, model[i+1:]) {
		t.Fatalf("seed %d: read %d jobs after position %d of %d", seed, len(got), i, len(model))
	}
	// A position whose job is gone is as good.
	gone := &job{at: model[i].at, place: model[i].place}
	l.remove(model[i])
	got := collect(l.after(gone.at, gone.place))
	l.push(model[i])
	if !slices.Equal(got, model[i+1:]) {
		t.Fatalf("seed %d: read %d jobs after a removed one, want %d", seed, len(got), len(model)-i-1)
	}
}

// TestLineGivesMemoryBack fills a line and empties it in three ways.
func TestLineGivesMemoryBack(t *testing.T) {
	const n = 100_000
	for name, empty := range map[string]func(l *line, jobs []*job){
		"from the front": func(l *line, _ []*job) {
			for l.n > 10 {
				l.pop()
			}
		},
		"from the back": func(l *line, jobs []*job) {
			for i := n - 1; i >= 10; i-- {
				l.remove(jobs[i])
			}
		},
		"all over": func(l *line, jobs []*job) {
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
			var shared depot
			l := line{depot: &shared}
			jobs := make([]*job, n)
			for i := range jobs {
				jobs[i] = &job{place: uint64(i + 1)}
				l.push(jobs[i])
			}
			empty(&l, jobs)
			if l.n > 10 || len(l.chunks) > 2 {
				t.Fatalf("%d jobs are in %d chunks", l.n, len(l.chunks))
			}
			// A push lets go of the part of the index that was left behind.
			for i := range uint64(4 * chunkSize) {
				l.push(&job{place: n + i + 1})
			}
			for l.n > 0 {
				l.pop()
			}
			if cap(l.chunks) > 2*n/chunkSize {
				t.Fatalf("an empty line keeps an index of %d", cap(l.chunks))
			}
		})
	}
}

func TestTableShrinks(t *testing.T) {
	var x table[int]
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
		x.put(keys[i], i)
	}
	for i, k := range keys[:len(keys)-5] {
		if x.get(k) != i {
			t.Fatalf("key %d has value %d", i, x.get(k))
		}
		x.remove(k)
	}
	if x.peak > tableFloor || len(x.m) != 5 {
		t.Fatalf("5 entries, got %d at a peak of %d", len(x.m), x.peak)
	}
}
