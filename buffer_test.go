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
		b := newBuffer(2, ahead{least: 4, most: 4})
		if n, _ := b.acquire(3, false); n != 3 {
			t.Fatalf("%d permits, want 3 of 6", n)
		}
		b.put(tasksOf(Normal, 3))
		got := 0
		go func() { got, _ = b.acquire(10, false) }()
		synctest.Wait()
		if got != 0 {
			t.Fatalf("%d permits with three of four waiting, want none", got)
		}
		b.next(-1)
		synctest.Wait()
		if got != 3 {
			t.Fatalf("%d permits with two of four waiting, want the rest of 3", got)
		}
	})
}

// One signal may stand for many permits: every receiver that can have one gets it.
func TestEveryReceiverGetsPermits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(6, ahead{})
		if n, _ := b.acquire(6, false); n != 6 {
			t.Fatalf("%d permits, want 6", n)
		}
		got := make(chan int, 3)
		for range 3 {
			go func() { n, _ := b.acquire(2, false); got <- n }()
		}
		synctest.Wait()
		b.release(6)
		synctest.Wait()
		if len(got) != 3 {
			t.Fatalf("%d of three receivers have permits", len(got))
		}
	})
}

// A batch starts as many slots as it has jobs and the lane allows, a slot ends when no job
// waits, and the end ends the fetcher.
func TestBufferStartsSlots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBuffer(4, ahead{least: 4, most: 4})
		b.acquire(8, false)
		if n, ok := b.put(tasksOf(Normal, 1)); n != 0 || !ok {
			t.Fatalf("a lane that has not started starts %d slots", n)
		}
		b.open()
		for _, step := range []struct{ jobs, slots int }{{2, 3}, {3, 1}, {1, 0}} {
			if n, ok := b.put(tasksOf(Normal, step.jobs)); n != step.slots || !ok {
				t.Fatalf("%d more jobs start %d slots, want %d", step.jobs, n, step.slots)
			}
		}
		for range 7 {
			if b.next(-1) == nil {
				t.Fatal("a job is missing")
			}
		}
		for range 2 {
			if b.next(0) != nil {
				t.Fatal("there is a job too many")
			}
		}
		if n, _ := b.put(tasksOf(Normal, 4)); n != 2 {
			t.Fatalf("%d slots start beside two of four that run, want 2", n)
		}
		acquired := make(chan int, 1)
		go func() { n, _ := b.acquire(1, false); acquired <- n }()
		synctest.Wait()
		if rest := b.close(); len(rest) != 4 {
			t.Fatalf("%d jobs were left, want 4", len(rest))
		}
		synctest.Wait()
		if len(acquired) != 1 || <-acquired != 0 {
			t.Fatal("the end did not wake the fetcher")
		}
		if _, ok := b.put(tasksOf(Normal, 1)); ok {
			t.Fatal("a closed buffer took a job")
		}
		for n := 4; n > 0; n-- {
			select {
			case <-b.quiet:
				t.Fatalf("quiet with %d slots", n)
			default:
			}
			b.leave()
		}
		<-b.quiet
	})
}

// Jobs come out by level, and within a level as they came in, however many there are.
func TestBufferOrder(t *testing.T) {
	b := newBuffer(1, ahead{least: 10_000, most: 10_000})
	var want [levels][]*task
	for range 300 {
		for level := Trivial; level <= Critical; level++ {
			one := tasksOf(level, 1)
			b.put(one)
			want[Critical-level] = append(want[Critical-level], one...)
		}
		if len(want[0]) > 200 { // the fifo moves its rest down in between
			for range 100 {
				if got := b.next(-1); got != want[0][0] {
					t.Fatal("not the oldest of the highest level")
				}
				want[0] = want[0][1:]
			}
		}
	}
	for _, level := range want {
		for _, one := range level {
			if got := b.next(-1); got != one {
				t.Fatal("not the oldest of the highest level")
			}
		}
	}
}
