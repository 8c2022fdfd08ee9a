package brokers

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
)

// A pod is several servers that share one network, so that each finds the others at the very address
// at which the test finds them: the loopback interface, and a port that is the same on both sides.
// Servers of a cluster tell clients each other's addresses, which would otherwise be addresses inside
// the engine. Every server has a container of its own and can be stopped alone; the network belongs to
// one more container, which does nothing and stays up.
type pod struct {
	engine *engine
	holder testcontainers.Container
	image  string
	row    row
	nodes  []*Instance
}

// startPod starts a pod with n ports, which build fills with servers. Servers that build has added are
// removed when it fails.
func startPod(e *engine, v Version, n int, build func(ctx context.Context, p *pod, ports []int) error) (*pod, error) {
	r, err := rowOf(v)
	if err != nil {
		return nil, err
	}
	image, err := e.image(r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return withFreePorts(n, func(ports []int) (*pod, error) {
		p := &pod{engine: e, image: image, row: r}
		if err := p.hold(ctx, ports); err != nil {
			return nil, err
		}
		if err := build(ctx, p, ports); err != nil {
			return nil, errors.Join(err, p.remove(context.WithoutCancel(ctx)))
		}
		return p, nil
	})
}

// hold starts the container that owns the network.
func (p *pod) hold(ctx context.Context, ports []int) error {
	same := make(map[int]int, len(ports))
	for _, port := range ports {
		same[port] = port
	}
	exposed, modifier := publish(same)
	holder, err := p.engine.run(ctx, testcontainers.ContainerRequest{
		Image:              p.image,
		Entrypoint:         []string{"sleep"},
		Cmd:                []string{"infinity"},
		ExposedPorts:       exposed,
		HostConfigModifier: modifier,
	})
	p.holder = holder
	return err
}

// add starts a server in the pod and returns when it answers.
func (p *pod) add(ctx context.Context, i *Instance, request testcontainers.ContainerRequest) (*Instance, error) {
	i.Image = p.image
	request.HostConfigModifier = func(host *container.HostConfig) {
		host.NetworkMode = container.NetworkMode("container:" + p.holder.GetContainerID())
	}
	err := i.run(ctx, p.engine, request)
	if i.container != nil {
		p.nodes = append(p.nodes, i)
	}
	return i, err
}

// addRedis starts a server of the Redis family in the pod.
func (p *pod) addRedis(ctx context.Context, port int, o redisOptions) (*Instance, error) {
	i := &Instance{Addr: hostPort(port), protocol: redisProtocol}
	return p.add(ctx, i, o.request(p.row, "--port", strconv.Itoa(port)))
}

// describe returns what the report says of the pod.
func (p *pod) describe(what string) string {
	return fmt.Sprintf("%s as %s", p.nodes[0], what)
}

func (p *pod) remove(ctx context.Context) error {
	var errs []error
	for _, i := range p.nodes {
		errs = append(errs, i.remove(ctx))
	}
	return errors.Join(append(errs, p.engine.remove(ctx, p.holder.GetContainerID()))...)
}
