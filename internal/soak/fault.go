package soak

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/batch-go/batch/conformance/proxy"
)

// fault is one way to disturb a run.
type fault struct {
	name string
	// what it does, for the table.
	what string
	// not are the targets that it cannot be done to.
	not []string
	// do disturbs, for about as long as given, and repairs.
	do func(ctx context.Context, r *run, d time.Duration) error
}

// suits is whether it can be done to the target.
func (f fault) suits(k target) bool { return !slices.Contains(f.not, k.name) }

// faults are all of them, in the order of the table. Nothing of a broker in the
// process can be cut off from it.
func faults() []fault {
	served := []string{"embedded"}        // has no server
	memory := []string{"embedded", "sqs"} // nor one that keeps what it has
	return []fault{
		{"none", "nothing is disturbed", nil, func(ctx context.Context, _ *run, d time.Duration) error { pause(ctx, d); return nil }},
		{"worker-killed", "a worker is killed with SIGKILL, and another takes its place", nil, killing(func(r *run) **process { return &r.worker })},
		{"worker-stopped", "a worker is stopped with SIGSTOP for longer than a lease, and goes on", nil, stopWorker},
		{"producer-killed", "a producer is killed with SIGKILL, and another takes its place", served, killing(func(r *run) **process { return &r.producer })},
		{"broker-killed", "the broker is killed with SIGKILL and started again", memory, killBroker},
		{"broker-restarted", "the broker is shut down and started again", memory, restartBroker},
		{"broker-frozen", "the broker stands still, and its connections stay open", served, freezeBroker},
		{"full", "the broker has no memory left for anything new", []string{"embedded", "sqs", "nats-2"}, fillBroker},
		{"cut", "all connections are ended, several times", served, cutNetwork},
		{"refused", "all connections are ended, and no new ones accepted for a time", served, refuseNetwork},
		{"black-hole", "nothing that is sent arrives, in both directions, and no connection ends", served, losing(proxy.Both)},
		{"answers-lost", "requests arrive, and no answers do", served, losing(proxy.Down)},
		{"slow", "each direction takes 75 to 150 ms more", served, slowNetwork},
	}
}

// killing kills the process at a place again and again, and puts another there.
func killing(place func(*run) **process) func(context.Context, *run, time.Duration) error {
	return func(ctx context.Context, r *run, d time.Duration) error {
		for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
			if err := r.replace(ctx, place(r)); err != nil {
				return err
			}
			pause(ctx, d/4)
		}
		return nil
	}
}

func stopWorker(ctx context.Context, r *run, d time.Duration) error {
	p := r.worker
	if err := p.freeze(); err != nil {
		return err
	}
	pause(ctx, max(d, r.target.lease+time.Second))
	return p.thaw()
}

func killBroker(ctx context.Context, r *run, _ time.Duration) error {
	if sync := r.target.sync; sync != nil {
		if _, err := r.server.Exec(ctx, sync...); err != nil {
			return err
		}
	}
	return r.server.Crash(ctx)
}

func restartBroker(ctx context.Context, r *run, _ time.Duration) error { return r.server.Restart(ctx) }

func freezeBroker(ctx context.Context, r *run, d time.Duration) error {
	if err := r.server.Pause(ctx); err != nil {
		return err
	}
	pause(ctx, d)
	return r.server.Unpause(context.WithoutCancel(ctx))
}

// fillBroker sets the bound on the broker's memory below what it has, for a time.
func fillBroker(ctx context.Context, r *run, d time.Duration) error {
	if _, err := r.server.Exec(ctx, r.target.fill...); err != nil {
		return err
	}
	pause(ctx, d)
	_, err := r.server.Exec(context.WithoutCancel(ctx), r.target.clear...)
	return err
}

func cutNetwork(ctx context.Context, r *run, d time.Duration) error {
	for range 4 {
		r.network.End()
		pause(ctx, d/4)
	}
	return nil
}

func refuseNetwork(ctx context.Context, r *run, d time.Duration) error {
	err := r.network.Refuse()
	r.network.End()
	pause(ctx, d)
	return errors.Join(err, r.network.Accept())
}

// losing loses what is sent in some directions. The connections end with the fault.
func losing(in proxy.Direction) func(context.Context, *run, time.Duration) error {
	return func(ctx context.Context, r *run, d time.Duration) error {
		r.network.Hold(in)
		pause(ctx, d)
		r.network.End() // and with them what was held
		r.network.Hold(0)
		return nil
	}
}

// slowNetwork delays all. What comes while the proxy holds something back waits for that
// as well, so that it is late by up to twice the delay.
func slowNetwork(ctx context.Context, r *run, d time.Duration) error {
	r.network.Delay(75 * time.Millisecond)
	pause(ctx, d)
	r.network.Delay(0)
	return nil
}
