package soak

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// network is what lies between the processes and the broker.
type network struct{ proxy *toxiproxy.Proxy }

// newNetwork makes one in front of an address.
func newNetwork(address string) (*network, error) {
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	n := &network{toxiproxy.NewProxy(server, "broker", "127.0.0.1:0", address)}
	if err := n.proxy.Start(); err != nil {
		return nil, fmt.Errorf("soak: proxy in front of the broker: %w", err)
	}
	return n, nil
}

// through is a URL that goes through the network instead of to the address.
func (n *network) through(address, direct string) (string, error) {
	if !strings.Contains(direct, address) {
		escaped := url.QueryEscape(address)
		if !strings.Contains(direct, escaped) {
			return "", fmt.Errorf("soak: %s is not in the URL of the broker", address)
		}
		return strings.ReplaceAll(direct, escaped, url.QueryEscape(n.proxy.Listen)), nil
	}
	return strings.ReplaceAll(direct, address, n.proxy.Listen), nil
}

// cut ends all connections. New ones can be made at once.
func (n *network) cut() error {
	n.proxy.Stop()
	return n.proxy.Start()
}

// toxic is something that ails the connections until heal, those made meanwhile as
// well. text is its description in toxiproxy's words.
func (n *network) toxic(text string) (heal func(), err error) {
	added, err := n.proxy.Toxics.AddToxicJson(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("soak: %w", err)
	}
	return func() { _ = n.proxy.Toxics.RemoveToxic(context.Background(), added.Name) }, nil
}

// refuse ends all connections and refuses new ones, until heal.
func (n *network) refuse() (heal func() error) {
	n.proxy.Stop()
	return n.proxy.Start
}

// close ends it.
func (n *network) close() { n.proxy.Stop() }
