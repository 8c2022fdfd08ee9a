package main

import (
	"context"
	"errors"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"

	"github.com/batch-go/batch/internal/brokers/launch"
)

// A pod is several servers that share one network, so that each finds the others at the very address
// at which the test finds them: the loopback interface, and a port that is the same on both sides.
// Servers of a cluster tell clients each other's addresses, which would otherwise be addresses inside
// the engine. Every server has a container of its own and can be stopped alone; the network belongs to
// one more container, which does nothing and stays up.
type pod struct {
	engine  *engine
	holder  testcontainers.Container
	image   string
	command []string // that runs in it
	nodes   []*server
}

// startPod starts a pod with n ports, which build fills with servers. Servers that build has added are
// removed when it fails.
func startPod(ctx context.Context, e *engine, i launch.Image, n int, build func(ctx context.Context, p *pod, ports []int) error) (*pod, error) {
	image, err := e.image(ctx, i)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return withFreePorts(n, func(ports []int) (*pod, error) {
		p := &pod{engine: e, image: image, command: i.Command}
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

// add starts a server in the pod, from the image of the pod unless it has one of its own, and returns
// when it answers.
func (p *pod) add(ctx context.Context, s *server, request testcontainers.ContainerRequest) (*server, error) {
	if s.Image == "" {
		s.Image = p.image
	}
	request.HostConfigModifier = func(host *container.HostConfig) {
		host.NetworkMode = container.NetworkMode("container:" + p.id())
	}
	err := s.run(ctx, p.engine, request)
	if s.container != nil {
		p.nodes = append(p.nodes, s)
	}
	return s, err
}

// id is that of the container that owns the network.
func (p *pod) id() string { return p.holder.GetContainerID() }

// members are the servers in the order in which they were added.
func (p *pod) members() []*server { return p.nodes }

func (p *pod) remove(ctx context.Context) error {
	var errs []error
	for _, s := range p.nodes {
		errs = append(errs, s.remove(ctx))
	}
	return errors.Join(append(errs, p.engine.remove(ctx, p.id()))...)
}
