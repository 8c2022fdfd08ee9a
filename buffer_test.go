package batch

import (
	"testing"
	"testing/synctest"

	"github.com/batch-go/batch/driver"
)

// tasksOf makes tasks of a level.
func tasksOf(level Level, n int) []*task {
	all := make([]*task, n)
	for i := range all {
		all[i] = &task{delivery: &driver.Delivery{Message: driver.Message{Level: level}}}
	}
	return all
}

// The fetcher waits while the buffer is more than half full, and goes on as soon as it is
// not, also if no permit becomes free at that moment.
func TestFetcherGoesOnAtHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(2, 4)
		if n := b.acquire(3); n != 3 {
			t.Fatalf("%d permits, want 3 of 6", n)
		}
		b.put(tasksOf(Normal, 3))
		got := 0
		go func() { got = b.acquire(10) }()
		synctest.Wait()
		if got != 0 {
			t.Fatalf("%d permits with three of four waiting, want none", got)
		}
		b.next()
		synctest.Wait()
		if got != 3 {
			t.Fatalf("%d permits with two of four waiting, want the rest of 3", got)
		}
	})
}

// One signal may stand for many permits: every receiver that can have one gets it.
func TestEveryReceiverGetsPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(6, 0)
		if n := b.acquire(6); n != 6 {
			t.Fatalf("%d permits, want 6", n)
		}
		got := make(chan int, 3)
		for range 3 {
			go func() { got <- b.acquire(2) }()
		}
		synctest.Wait()
		b.release(6)
		synctest.Wait()
		if len(got) != 3 {
			t.Fatalf("%d of three receivers have permits", len(got))
		}
	})
}

// A batch wakes as many slots as it has jobs, and the end wakes everybody.
func TestBufferWakesSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(4, 4)
		got := make(chan *task, 5)
		for range 5 {
			go func() { got <- b.next() }()
		}
		synctest.Wait()
		b.put(tasksOf(Normal, 3))
		synctest.Wait()
		if len(got) != 3 {
			t.Fatalf("three jobs woke %d slots", len(got))
		}
		acquired := make(chan int, 1)
		b.acquire(8)
		go func() { acquired <- b.acquire(1) }()
		synctest.Wait()
		if rest := b.close(); len(rest) != 0 {
			t.Fatalf("%d jobs were left", len(rest))
		}
		synctest.Wait()
		if len(got) != 5 || len(acquired) != 1 || <-acquired != 0 {
			t.Fatal("the end did not wake the slots and the fetcher")
		}
		if b.put(tasksOf(Normal, 1)) {
			t.Fatal("a closed buffer took a job")
		}
	})
}

// Jobs come out by level, and within a level as they came in, however many there are.
func TestBufferOrder(t *testing.T) {
	b := newBuffer(1, 10_000)
	var want [levels][]*task
	for range 300 {
		for level := Trivial; level <= Critical; level++ {
			one := tasksOf(level, 1)
			b.put(one)
			want[Critical-level] = append(want[Critical-level], one...)
		}
		if len(want[0]) > 200 { // the fifo moves its rest down in between
			for range 100 {
				if got := b.next(); got != want[0][0] {
					t.Fatal("not the oldest of the highest level")
				}
				want[0] = want[0][1:]
			}
		}
	}
	for _, level := range want {
		for _, one := range level {
			if got := b.next(); got != one {
				t.Fatal("not the oldest of the highest level")
			}
		}
	}
}
