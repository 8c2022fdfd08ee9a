package nats_test

import (
	"fmt"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestGroupCommit: where each answer costs a sync to the disk, a few jobs are stored each on its
// own, which is a sync each, and from 16 on in one atomic batch, which is six.
func TestGroupCommit(t *testing.T) {
	url := brokers.NATS(t, brokers.NATS2).URL()
	d, js := openURL(t, url+"?group_commit=true"), rawJetStream(t, url)
	for _, c := range []struct {
		jobs   int
		atomic bool
	}{{1, false}, {2, false}, {15, false}, {16, true}, {100, true}} {
		q := declare(t, d)
		var all []*driver.Message
		for i := range c.jobs {
			all = append(all, message(fmt.Sprint(i)))
		}
		enqueue(t, d, q, all...)
		stream, err := js.Stream(testContext(t), "batch-"+q)
		if err != nil {
			t.Fatal(err)
		}
		first := stream.CachedInfo().State.FirstSeq
		for i := range all {
			m, err := stream.GetMsg(testContext(t), first+uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			if id := m.Header.Get("Batch-Id"); id != fmt.Sprint(i) {
				t.Errorf("of %d jobs, that at %d is %s", c.jobs, i, id)
			}
			if atomic := m.Header.Get("Nats-Batch-Id") != ""; atomic != c.atomic {
				t.Errorf("of %d jobs, that at %d came in an atomic batch: %t", c.jobs, i, atomic)
			}
		}
		if err := d.DeleteQueue(testContext(t), q); err != nil {
			t.Fatal(err)
		}
	}
}
