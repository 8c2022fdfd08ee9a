package amqp

import (
	"testing"
	"testing/synctest"
	"time"
)

// idle counts the looks at each delay queue until a time, of which none has anything in it.
func idle(w *watch, until time.Time) map[time.Duration]int {
	looks := make(map[time.Duration]int)
	for time.Now().Before(until) {
		time.Sleep(w.next(time.Now()))
		for _, i := range w.due(time.Now()) {
			looks[ttls[i]]++
			w.empty(i)
		}
	}
	return looks
}

// TestWatchIsCheap: without a delayed job a delay queue is looked at every ten minutes; after one that moved there is one
// look more; and there is none while jobs move.
func TestWatchIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNames("q")
		w := newWatch(lookPause, time.Now())
		for ttl, looks := range idle(w, time.Now().Add(time.Hour)) {
			if most := 1 + int(time.Hour/max(idlePause, ttl)); looks > most {
				t.Errorf("%d looks at the queue of %s in an hour without jobs, want %d at most", looks, ttl, most)
			}
		}
		const ttl = 4096 * time.Millisecond
		w.fill(ttl, time.Now())
		time.Sleep(ttl)
		w.move(n, n.delay(ttl), time.Now())
		if looks := idle(w, time.Now().Add(time.Minute)); looks[ttl] != 1 || len(looks) > len(ttls) {
			t.Errorf("%d looks after a job, want 1", looks[ttl])
		}
		w.fill(ttl, time.Now())
		for range 1000 {
			time.Sleep(ttl)
			w.move(n, n.delay(ttl), time.Now())
			for _, i := range w.due(time.Now()) {
				if ttls[i] == ttl {
					t.Fatal("a look while jobs move")
				}
				w.empty(i)
			}
		}
	})
}

// TestWatchNoticesInTime: a delay queue that does not move is looked at within the bound that the package promises, if
// this process has put something there or has seen it move; and then it is looked at no more often than
// that.
func TestWatchNoticesInTime(t *testing.T) {
	n := newNames("q")
	for name, sign := range map[string]func(w *watch, ttl time.Duration){
		"fill": func(w *watch, ttl time.Duration) { w.fill(ttl, time.Now()) },
		"move": func(w *watch, ttl time.Duration) { w.move(n, n.delay(ttl), time.Now()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for at, ttl := range ttls[:12] {
					w := newWatch(lookPause, time.Now())
					idle(w, time.Now().Add(time.Minute+2*ttl))
					sign(w, ttl)
					begin, last := time.Now(), time.Time{}
					for looks := 0; looks < 5; {
						time.Sleep(w.next(time.Now()))
						for _, i := range w.due(time.Now()) {
							if i != at {
								w.empty(i)
								continue
							}
							if looks++; looks == 1 && time.Since(begin) > max(lookPause, ttl)+lookPause/3+ttlMargin(ttl) {
								t.Errorf("the queue of %s is looked at %s after the sign", ttl, time.Since(begin))
							}
							if apart := time.Since(last); apart < max(lookPause, ttl) {
								t.Errorf("the queue of %s is looked at twice in %s", ttl, apart)
							}
							last = time.Now()
							w.stay(i, sighting{})
						}
					}
				}
			})
		})
	}
}
