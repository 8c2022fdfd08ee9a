package batch

import (
	"testing"
	"time"
)

// drive has a lane with slots work for a while on a queue that has plenty, whose handlers take
// a time each and whose broker takes trip for each call, and returns what is fetched ahead then.
func drive(a *ahead, now *time.Time, takes, trip, body, long int64) int {
	end := now.Add(time.Duration(long))
	for now.Before(end) {
		// In one round trip the slots run jobs, as far as jobs are there.
		trip := max(trip, int64(time.Millisecond))
		could := int64(a.slots) * trip / max(takes, 1)
		step := trip
		if could == 0 {
			could, step = int64(a.slots), takes
		}
		n := int(min(could, int64(a.slots+a.size)))
		*now = now.Add(time.Duration(step))
		for range n {
			a.end(time.Duration(takes))
		}
		a.fetched(time.Duration(trip), n, n, n*int(body))
		a.settled(time.Duration(trip))
		a.adapt(*now)
	}
	return a.size
}

const ms, sec = int64(time.Millisecond), int64(time.Second)

// newAhead makes one that adapts, with the defaults.
func newAhead(slots int, now time.Time) *ahead {
	a := newBuffer(slots, ahead{most: 1000, bytes: 64 << 20, patience: waitFor(30 * time.Second)}).ahead
	a.begin(now)
	return &a
}

// What is fetched ahead follows the handlers and the broker's round trip, from below and from
// above, and stays within its bounds.
func TestAheadFollows(t *testing.T) {
	for _, c := range []struct {
		slots             int
		takes, trip, body int64
		least, most       int
	}{
		{64, 0, ms, 100, 1000, 1000},
		{10, ms, ms, 100, 150, 210},           // 20 ms of work
		{10, 10 * ms, ms, 100, 18, 21},        // likewise
		{10, ms, 30 * ms, 100, 900, 1000},     // eight round trips hide behind it
		{10, 50 * ms, ms, 100, 10, 10},        // as many as there are slots
		{10, sec, ms, 100, 10, 10},            // they start within a second
		{10, 2 * sec, ms, 100, 5, 5},          // as many as do
		{1, sec, ms, 100, 1, 1},               // likewise
		{10, 10 * sec, ms, 100, 1, 1},         // likewise
		{10, 60 * sec, ms, 100, 0, 0},         // none does
		{10, 60 * sec, 200 * ms, 100, 0, 0},   // however far the broker is
		{10, 0, ms, 1 << 20, 64, 64},          // 64 MiB
		{10, 0, ms, 100 << 20, 10, 10},        // but not less than the slots
		{2000, 100 * ms, ms, 100, 1000, 1000}, // never more than the bound
	} {
		now := time.Now()
		a := newAhead(c.slots, now)
		if a.size != 0 {
			t.Fatalf("%d jobs are fetched ahead before any has run", a.size)
		}
		check := func(after string) {
			t.Helper()
			long := max(sec, 50*c.takes)
			if n := drive(a, &now, c.takes, c.trip, c.body, long); n < c.least || n > c.most {
				t.Errorf("%+v after %s: %d jobs ahead, want %d to %d", c, after, n, c.least, c.most)
			}
		}
		check("the start")
		drive(a, &now, 0, ms, 100, sec)
		check("short handlers")
		drive(a, &now, 20*sec, ms, 100, 1000*sec)
		check("long handlers")
		a.stop()
		if a.size != 0 {
			t.Errorf("%d jobs are fetched ahead when none starts", a.size)
		}
		check("jobs were given back")
		now = now.Add(time.Hour)
		a.adapt(now)
		a.adapt(now.Add(time.Second))
		if a.size > c.slots {
			t.Errorf("%+v after an hour in which nothing came: %d jobs ahead, want no more than slots", c, a.size)
		}
		now = now.Add(time.Second)
		check("nothing came")
	}
}

// Jobs that end together do not count as quick.
func TestAheadOfJobsThatEndTogether(t *testing.T) {
	now := time.Now()
	a := newAhead(100, now)
	for range 5 {
		now = now.Add(10 * time.Second)
		a.adapt(now.Add(-6 * time.Millisecond))
		for range 100 {
			a.end(10 * time.Second)
		}
		a.adapt(now)
		if a.size > 10 {
			t.Fatalf("%d jobs ahead of a hundred slots with handlers of 10 s, want as many as start in a second", a.size)
		}
	}
}

// One slow answer of the broker is not taken for its distance, and a call that waited for jobs
// not for one.
func TestRoundTrips(t *testing.T) {
	a := newAhead(10, time.Now())
	for range 50 {
		a.fetched(time.Millisecond, 10, 10, 0)
	}
	a.fetched(10*time.Second, 10, 10, 0)
	a.fetched(200*time.Millisecond, 10, 3, 0)
	a.fetched(200*time.Millisecond, 10, 10, 0)
	if a.fetching > 1200*time.Microsecond {
		t.Errorf("a round trip of 1 ms is taken for %s", a.fetching)
	}
	for range 60 {
		a.fetched(20*time.Millisecond, 10, 10, 0)
	}
	if a.fetching < 15*time.Millisecond {
		t.Errorf("a round trip of 20 ms is taken for %s", a.fetching)
	}
	a.fetched(time.Millisecond, 10, 3, 0) // it got what there was
	if a.fetching > 18*time.Millisecond {
		t.Errorf("a shorter one is not seen: %s", a.fetching)
	}
}

// What is fetched ahead waits a part of a lease that ends before the lease is extended.
func TestWaitIsWithinLease(t *testing.T) {
	for lease, want := range map[time.Duration]time.Duration{
		0: 2 * time.Second, time.Second: 250 * time.Millisecond, 3 * time.Second: 750 * time.Millisecond, time.Hour: 2 * time.Second,
	} {
		if got := waitFor(lease); got != want || lease > 0 && got >= lease/3-lease/30 {
			t.Errorf("with a lease of %s: %s, want %s", lease, got, want)
		}
	}
}
