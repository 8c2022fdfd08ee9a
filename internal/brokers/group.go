package brokers

import (
	"context"
	"fmt"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// launch starts what b describes, but for the image, which is that of v. The launcher bounds the time.
func (l *launcher) launch(v Version, b launch.Broker) (*group, error) {
	r, err := rowOf(v)
	if err != nil {
		return nil, err
	}
	if b.Image, err = r.image(); err != nil {
		return nil, err
	}
	var launched launch.Launched
	if err := l.call(context.Background(), "Launch", &b, &launched); err != nil {
		return nil, err
	}
	g := &group{launcher: l, id: launched.ID}
	for _, s := range launched.Servers {
		i, err := newInstance(l, s)
		if err != nil {
			return nil, err
		}
		g.nodes = append(g.nodes, i)
	}
	return g, nil
}

// launchOne starts one server of version v.
func (l *launcher) launchOne(v Version, b launch.Broker) (*Instance, error) {
	g, err := l.launch(v, b)
	if err != nil {
		return nil, err
	}
	return g.nodes[0], nil
}

// A group is several servers that the launcher has started to work together.
type group struct {
	launcher *launcher
	id       string
	nodes    []*Instance
}

// addrs returns the addresses of the nodes.
func (g *group) addrs() []string {
	addrs := make([]string, len(g.nodes))
	for n, node := range g.nodes {
		addrs[n] = node.Addr
	}
	return addrs
}

// await returns when the nodes work together, or ctx ends.
func (g *group) await(ctx context.Context) error {
	return g.launcher.call(ctx, "Await", &launch.Target{ID: g.id}, &launch.Nothing{})
}

// describe returns what the report says of the group.
func (g *group) describe(what string) string {
	return fmt.Sprintf("%s as %s", g.nodes[0], what)
}

// remove removes the nodes and their data for good.
func (g *group) remove(ctx context.Context) error {
	return g.launcher.call(ctx, "Remove", &launch.Target{ID: g.id}, &launch.Nothing{})
}
