package nats_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/batch-go/batch/driver"
)

// TestListQueues: all queues of the prefix, over several pages of the server's, and
// nothing that looks like one.
func TestListQueues(t *testing.T) {
	ts := startServer(t)
	d, other := openURL(t, ts.url()), openURL(t, ts.url()+"?prefix=batch-x")
	ctx := testContext(t)
	if got, err := d.ListQueues(ctx); len(got) != 0 || err != nil {
		t.Errorf("with no queue: %q, %v", got, err)
	}
	for _, q := range []string{"b", "a", "c-d", "gone"} {
		if err := d.Declare(ctx, q); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.DeleteQueue(ctx, "gone"); err != nil {
		t.Fatal(err)
	}
	if err := other.Declare(ctx, "theirs"); err != nil {
		t.Fatal(err)
	}
	js := rawJetStream(t, ts.url())
	foreign := []jetstream.StreamConfig{
		{Name: "batch-foreign", Subjects: []string{"batch.foreign.job"}},
		{Name: "batch-other", Subjects: []string{"other"}},
		{Name: "mine", Subjects: []string{"batch.mine.>"}},
	}
	// More than the server lists at once. They are not made by Declare, as that takes
	// four times as long.
	want := []string{"a", "b", "c-d"}
	for i := range 1100 {
		q := fmt.Sprintf("many-%04d", i)
		want = append(want, q)
		root := "batch." + q + "."
		foreign = append(foreign, jetstream.StreamConfig{
			Name: "batch-" + q, Storage: jetstream.MemoryStorage, Subjects: []string{root + "job", root + "later.>", root + "dead.>", root + "key.*", root + "held.*"},
		})
	}
	for _, config := range foreign {
		if _, err := js.CreateStream(ctx, config); err != nil {
			t.Fatal(err)
		}
	}
	got, err := d.ListQueues(ctx)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%d queues are listed, and there are %d: %.200q, %v", len(got), len(want), got, err)
	}
	if got, err := other.ListQueues(ctx); !slices.Equal(got, []string{"theirs"}) || err != nil {
		t.Errorf("queues of the other prefix are %q, %v", got, err)
	}
}

// TestAge: of the oldest job that waits, since it became ready, and zero if none does.
func TestAge(t *testing.T) {
	d := openURL(t, sharedURL(t))
	ctx := testContext(t)
	q := declare(t, d)
	age := func() time.Duration {
		t.Helper()
		depth, err := d.Depth(ctx, q)
		if err != nil {
			t.Fatal(err)
		}
		if depth.Due != 0 {
			t.Errorf("%d jobs are due, and the server brings them forth", depth.Due)
		}
		return depth.Age
	}
	// pass waits until the clock shows so much later.
	pass := func(d time.Duration) { <-time.NewTimer(d).C }
	if got := age(); got != 0 {
		t.Errorf("nothing waits, and the age is %s", got)
	}
	c := consume(t, d, q, 30*time.Second)
	first := time.Now()
	enqueue(t, d, q, message("old"))
	pass(300 * time.Millisecond)
	enqueue(t, d, q, message("new"))
	if got := age(); got < 300*time.Millisecond || got > time.Since(first) {
		t.Errorf("the oldest waits since %s, and the age is %s", time.Since(first), got)
	}
	second := time.Now()
	old := receive(t, c, 1)[0]
	if got := age(); got <= 0 || got > time.Since(first)-250*time.Millisecond {
		t.Errorf("the younger waits since %s, and the age is %s", time.Since(second), got)
	}
	receive(t, c, 1)
	if got := age(); got != 0 {
		t.Errorf("all run, and the age is %s", got)
	}
	released := time.Now()
	if err := settle(t, c, driver.Settlement{Delivery: old, Outcome: driver.OutcomeRelease}); err != nil {
		t.Fatal(err)
	}
	if got := age(); got < 0 || got > time.Since(released) {
		t.Errorf("it waits since %s, and the age is %s", time.Since(released), got)
	}
}

// TestCountWithoutMessage: a server that counts a message which is not there does not keep a
// queue from being empty.
func TestCountWithoutMessage(t *testing.T) {
	r := startRelay(t, sharedURL(t))
	d := openURL(t, r.url())
	q := declare(t, d)
	r.filter(func(up bool, b []byte) bool {
		if !up {
			copy(b, bytes.ReplaceAll(b, []byte(`"num_pending":0`), []byte(`"num_pending":1`)))
		}
		return false
	})
	depth, err := d.Depth(testContext(t), q)
	if err != nil {
		t.Fatal(err)
	}
	if depth.Waiting != 0 || depth.Scheduled != 1 {
		t.Errorf("counted %+v, want the one that the relay made of the scheduled, and no job that waits", depth)
	}
}
