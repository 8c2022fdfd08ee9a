package nats_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver/nats"
	"github.com/batch-go/batch/internal/bootclock"
	"github.com/batch-go/batch/internal/brokers"
)

// TestServerClockWasSet: on the machine that delayed a job, one that a server elsewhere hands out before its time, as
// its clock was set ahead, is put back, and one that would be late by a step back comes in time.
func TestServerClockWasSet(t *testing.T) {
	t.Parallel()
	d := openURL(t, brokers.NATS(t, brokers.NATS2).URL())
	q := declare(t, d)
	nc, root := rawJetStream(t, brokers.NATS(t, brokers.NATS2).URL()).Conn(), "batch."+q+"."
	due := bootclock.Now() + 2*time.Second
	late := time.Now().Add(time.Hour)
	for _, m := range []*natsgo.Msg{
		{Subject: root + "job", Header: natsgo.Header{"Batch-Id": {"early"}}},
		{Subject: fmt.Sprintf("%slater.%015d.bGF0ZQ.x", root, late.UnixMilli()), Header: natsgo.Header{"Batch-Id": {"late"},
			"Nats-Schedule": {"@at " + late.UTC().Format(time.RFC3339Nano)}, "Nats-Schedule-Target": {root + "job"}}},
	} {
		m.Header["Batch-Kind"], m.Header["Batch-At"] = []string{"test"}, []string{"1000000000000"}
		m.Header["Batch-Due"], m.Header["Batch-Clock"] = []string{strconv.FormatInt(int64(due), 10)}, []string{bootclock.ID}
		answer, err := nc.RequestMsg(m, bound)
		if err != nil || strings.Contains(string(answer.Data), "error") {
			t.Fatalf("%v: %s", err, answer.Data)
		}
	}
	nats.SetBack(d, q, time.Hour)
	c := consume(t, d, q, 30*time.Second)
	for range 2 {
		got := receive(t, c, 1)[0]
		if got.Deliveries != 1 || got.Redeliveries != 0 || got.Failures != 0 {
			t.Errorf("%s came, delivered %d times, with %d holders lost and %d failures", got.ID, got.Deliveries, got.Redeliveries, got.Failures)
		}
		if left := due - bootclock.Now(); left > 100*time.Millisecond {
			t.Errorf("%s came %s too early", got.ID, left)
		}
	}
}
