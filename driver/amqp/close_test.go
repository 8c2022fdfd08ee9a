package amqp

import (
	"net/url"
	"testing"

	network "github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/internal/brokers"
)

// A Close whose connection breaks in the closing handshake has what it wants.
func TestCloseOfAConnectionThatBreaks(t *testing.T) {
	address := brokers.RabbitMQ(t, brokers.RabbitMQ4).URL()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, after := range []bool{false, true} {
		p, err := network.Listen(u.Host)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		through := *u
		through.Host = p.Addr()
		d, err := Open(t.Context(), through.String())
		if err != nil {
			t.Fatal(err)
		}
		cut := p.CutAt(network.Cut{Call: p.Calls() + 1, After: after})
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("cut in Close, after the broker had it: %t: %v", after, err)
		}
		select {
		case <-cut:
		case <-testContext(t).Done():
			t.Fatal("nothing was cut")
		}
	}
}
