package coalesce

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Every item is flushed exactly once, within the limits, and those of one caller
// in order.
func TestEveryItemOnceInOrderWithinLimits(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			limits := Limits{Items: 1 + r.IntN(50), Bytes: 1 + r.IntN(500), Flights: 1 + r.IntN(4)}
			limits.Partial = r.IntN(limits.Flights + 1)
			const callers, each = 8, 500
			type item struct{ caller, n, size int }
			var mu sync.Mutex
			var flushed []item
			var flying atomic.Int64
			c := New(limits, func(batch []item) {
				if n := flying.Add(1); n > int64(limits.Flights) {
					t.Errorf("%d flights, want at most %d", n, limits.Flights)
				}
				defer flying.Add(-1)
				bytes := 0
				for _, i := range batch {
					bytes += i.size
				}
				if len(batch) == 0 || len(batch) > limits.Items || len(batch) > 1 && bytes > limits.Bytes {
					t.Errorf("a batch of %d items and %d bytes with limits %+v", len(batch), bytes, limits)
				}
				mu.Lock()
				defer mu.Unlock()
				flushed = append(flushed, batch...)
			})
			sizes := make([]int, each)
			for i := range sizes {
				sizes[i] = r.IntN(100)
			}
			var wg sync.WaitGroup
			for caller := range callers {
				wg.Go(func() {
					for n := range each {
						c.Add(item{caller, n, sizes[n]}, sizes[n])
					}
				})
			}
			wg.Wait()
			synctest.Wait()
			mu.Lock()
			if len(flushed) != callers*each {
				t.Fatalf("%d items flushed, want %d (limits %+v)", len(flushed), callers*each, limits)
			}
			var next [callers]int
			for _, i := range flushed {
				if limits.Flights == 1 && i.n != next[i.caller] {
					t.Fatalf("caller %d: item %d came when %d was due", i.caller, i.n, next[i.caller])
				}
				next[i.caller]++
			}
			mu.Unlock()
		})
	}
}

// Beyond Partial only full batches are flushed, and what is left over goes with the
// next flight that lands.
func TestPartialFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		landings := make(chan struct{})
		c := New(Limits{Items: 3, Bytes: 100, Flights: 3, Partial: 1}, func(batch []int) {
			sizes = append(sizes, len(batch))
			<-landings
		})
		add := func(n int, want ...int) {
			t.Helper()
			for range n {
				c.Add(0, 1)
				synctest.Wait()
			}
			if !slices.Equal(sizes, want) {
				t.Fatalf("batches %v, want %v", sizes, want)
			}
		}
		add(1, 1)
		add(2, 1)
		if c.Lead() {
			t.Fatal("a caller led a flight of its own beyond Partial")
		}
		add(1, 1, 3)
		add(3, 1, 3, 3)
		add(4, 1, 3, 3) // all flights are under way
		landings <- struct{}{}
		synctest.Wait()
		add(0, 1, 3, 3, 3)
		landings <- struct{}{}
		landings <- struct{}{}
		synctest.Wait()
		add(0, 1, 3, 3, 3) // one is left over, and one flight under way
		landings <- struct{}{}
		synctest.Wait()
		add(0, 1, 3, 3, 3, 1)
		landings <- struct{}{}
	})
}

// An item on an idle coalescer is flushed at once and alone; items that arrive while
// it is under way are flushed together.
func TestBatchesGrowOnlyUnderLoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := make(chan struct{})
		var batches [][]int
		c := New(Limits{Items: 100, Bytes: 100, Flights: 1}, func(batch []int) {
			batches = append(batches, slices.Clone(batch))
			<-gate
		})
		c.Add(0, 1)
		synctest.Wait()
		for i := range 3 {
			c.Add(i+1, 1)
		}
		close(gate)
		synctest.Wait()
		if len(batches) != 2 || !slices.Equal(batches[0], []int{0}) || !slices.Equal(batches[1], []int{1, 2, 3}) {
			t.Errorf("batches = %v, want [[0] [1 2 3]]", batches)
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	b.ReportAllocs()
	var flushed sync.WaitGroup
	flushed.Add(b.N)
	c := New(Limits{Items: 1000, Bytes: 1 << 20, Flights: 1}, func(batch []int) { flushed.Add(-len(batch)) })
	for i := range b.N {
		c.Add(i, 8)
	}
	flushed.Wait()
}

// A batch that takes longer than the patience with it holds up only itself.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		under, most, flushed := 0, 0, 0
		hang := make(chan struct{})
		c := New(Limits{Items: 10, Bytes: 100, Flights: 1, Patience: time.Second}, func(batch []int) {
			mu.Lock()
			under++
			most = max(most, under)
			mu.Unlock()
			if batch[0] < 0 {
				<-hang
			} else {
				time.Sleep(time.Duration(batch[0]) * time.Millisecond)
			}
			mu.Lock()
			under--
			flushed += len(batch)
			mu.Unlock()
		})
		expect := func(step string, wantUnder, wantFlushed int) {
			t.Helper()
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			if under != wantUnder || flushed != wantFlushed {
				t.Fatalf("%s: %d under way and %d flushed, want %d and %d", step, under, flushed, wantUnder, wantFlushed)
			}
		}
		// Batches within the patience never overlap, however many there are.
		for range 20 {
			c.Add(400, 1)
			time.Sleep(150 * time.Millisecond)
		}
		time.Sleep(time.Second)
		expect("one after the other", 0, 20)
		if most != 1 {
			t.Fatalf("%d batches under way at once, want 1", most)
		}
		c.Add(-1, 1)
		time.Sleep(500 * time.Millisecond)
		c.Add(1, 1)
		time.Sleep(499 * time.Millisecond)
		expect("before its time is over", 1, 20)
		time.Sleep(2 * time.Millisecond)
		expect("behind one that hangs", 1, 21)
		c.Add(-1, 1)
		expect("a second one that hangs", 2, 21)
		time.Sleep(time.Second)
		c.Add(0, 1)
		expect("after both", 2, 22)
		c.Add(900, 1)
		expect("a batch that counts", 3, 22)
		hang <- struct{}{} // one of them returns while another batch counts
		expect("one has returned", 2, 23)
		c.Add(0, 1)
		expect("and is no flight of its own", 2, 23)
		time.Sleep(900 * time.Millisecond)
		expect("the rest", 1, 25)
		hang <- struct{}{}
		expect("none", 0, 26)
	})
}

// The timer of patience is reused. One that fires late, for a batch that has ended, does not
// end the patience with the next.
func TestPatienceOfAnEarlierBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under atomic.Int64
		c := New(Limits{Items: 10, Bytes: 100, Flights: 1, Patience: time.Second}, func([]int) {
			under.Add(1)
			time.Sleep(500 * time.Millisecond)
			under.Add(-1)
		})
		c.overtake() // nothing is under way
		c.Add(0, 1)
		synctest.Wait()
		c.overtake()
		c.Add(0, 1)
		synctest.Wait()
		if n := under.Load(); n != 1 {
			t.Errorf("%d batches under way, want one", n)
		}
		time.Sleep(time.Second)
		c.overtake()
		c.Add(0, 1)
		time.Sleep(time.Second) // until that has landed
	})
}
