package amqp

import "testing"

// A message that comes back when its publisher has given up stays no longer than until
// it is confirmed, and passes for no other.
func TestReturnedWhenNobodyWaits(t *testing.T) {
	key := returnKey{"queue", "id"}
	var r unrouted
	answered := make(chan struct{})
	r.leave(key, answered)
	r.sweep()
	if len(r.left) != 1 {
		t.Fatal("a publication that is not answered was forgotten")
	}
	r.add(key)
	close(answered)
	r.sweep()
	if r.take(key) || len(r.counts) != 0 || len(r.left) != 0 {
		t.Errorf("left: %+v", r)
	}
	r.leave(key, answered)
	r.add(key) // for the first
	r.add(key) // for one whose publisher waits
	r.sweep()
	if !r.take(key) || r.take(key) {
		t.Error("of two that came back, one of which nobody waits for, not one is left")
	}
}
