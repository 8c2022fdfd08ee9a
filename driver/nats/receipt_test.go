package nats

import (
	"fmt"
	"testing"
)

func TestAckReply(t *testing.T) {
	for subject, want := range map[string]string{
		"$JS.ACK.s.jobs.1.17.3.1760000000000000000.5":            "1 17 true",
		"$JS.ACK.hub.hash.s.jobs.2.17.3.1760000000000000000.5":   "2 17 true",
		"$JS.ACK.hub.hash.s.jobs.2.17.3.1760000000000000000.5.x": "2 17 true",
		"$JS.ACK.s.jobs.0.17.3.1.5":                              "0 0 false",
		"$JS.ACK.s.jobs.1.x.3.1.5":                               "0 0 false",
		"$JS.ACK.s":                                              "0 0 false",
	} {
		delivered, seq, ok := ackReply(subject)
		if got := fmt.Sprint(delivered, seq, ok); got != want {
			t.Errorf("%s is %s, want %s", subject, got, want)
		}
	}
}

// TestAckScope: a refusal of one queue's acknowledgements is none of another's.
func TestAckScope(t *testing.T) {
	n := newNames("batch", "a")
	for reply, want := range map[string]string{
		"$JS.ACK.batch-a.jobs.1.2.3.4.5":                "$JS.ACK.batch-a.",
		"$JS.ACK.hub.HASH.batch-a.jobs.1.2.3.4.5.token": "$JS.ACK.hub.HASH.batch-a.",
		"$JS.ACK.x": "$JS.ACK.",
	} {
		if got := (&receipt{n: n, reply: reply}).ackScope(); got != want {
			t.Errorf("%s: %s", reply, got)
		}
	}
}
