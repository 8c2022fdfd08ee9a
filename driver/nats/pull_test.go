package nats

import (
	"errors"
	"testing"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

func TestPullEnds(t *testing.T) {
	for _, row := range []struct {
		code, text string
		want       error
	}{
		{"404", "No Messages", errEmpty},
		{"408", "Request Timeout", errEmpty},
		{"408", "Requests Pending", errCrowded},
		{"409", "Consumer Deleted", errRemoved},
		{"409", "Leadership Change", errLost},
		{"409", "Server Shutdown", errLost},
		{"100", "Idle Heartbeat", nil},
	} {
		m := &natsgo.Msg{Header: natsgo.Header{"Status": {row.code}, "Description": {row.text}}}
		if got := pullEnd(m); !errors.Is(got, row.want) {
			t.Errorf("%s %s is %v, want %v", row.code, row.text, got, row.want)
		}
	}
	m := &natsgo.Msg{Header: natsgo.Header{"Status": {"503"}}}
	if got := pullEnd(m); !isUnanswered(got) {
		t.Errorf("503 is %v", got)
	}
	m = &natsgo.Msg{Header: natsgo.Header{"Status": {"409"}, "Description": {"Exceeded MaxWaiting"}}}
	if kind := classify(pullEnd(m)).Kind; kind != driver.ErrBroker {
		t.Errorf("a pull too many is %v", kind)
	}
}
