package postgres

import (
	"sync"
	"testing"
)

// TestDepthFolds: the counts stay right when many calls change them while others fold the changes, and the
// changes do not pile up.
func TestDepthFolds(t *testing.T) {
	t.Parallel()
	d := open(t)
	q := queue(t, d)
	const workers, each = 6, 150
	var all sync.WaitGroup
	for range workers {
		c := consume(t, d, q)
		all.Go(func() {
			for range each {
				enqueue(t, d, q, message("a"))
				done(t, c, receive(t, c, 1)...)
				enqueue(t, d, q, message("b"))
			}
		})
		all.Go(func() {
			for range each / 5 {
				got := depth(t, d, q)
				if got.Waiting < 0 || got.Running < 0 || got.Waiting > 2*workers*each || got.Running > workers {
					t.Errorf("the depth is %+v", got)
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	got := depth(t, d, q)
	depth(t, d, q)
	conn := connect(t, plainURL(t))
	if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.jobs`); got.Waiting != n || got.Running != 0 || n != workers*each {
		t.Errorf("the depth is %+v, with %d jobs", got, n)
	}
	if n := number(t, conn, `SELECT count(*) FROM `+d.schema+`.tallies`); n > foldAt {
		t.Errorf("%d changes are not folded", n)
	}
}
