package soak

import (
	"context"
	"errors"
	"slices"
	"time"
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
		{"black-hole", "nothing that is sent arrives, in both directions, and no connection ends", served, ailing(
			`{"name":"up","type":"timeout","stream":"upstream","attributes":{"timeout":0}}`,
			`{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)},
		{"answers-lost", "requests arrive, and no answers do", served, ailing(
			`{"name":"down","type":"timeout","stream":"downstream","attributes":{"timeout":0}}`)},
		{"slow", "each direction takes 100 ms more, up to 50 ms more or less", served, ailing(
			`{"name":"up","type":"latency","stream":"upstream","attributes":{"latency":100,"jitter":50}}`,
			`{"name":"down","type":"latency","stream":"downstream","attributes":{"latency":100,"jitter":50}}`)},
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
		if err := r.network.cut(); err != nil {
			return err
		}
		pause(ctx, d/4)
	}
	return nil
}

func refuseNetwork(ctx context.Context, r *run, d time.Duration) error {
	heal := r.network.refuse()
	pause(ctx, d)
	return heal()
}

// ailing has all connections ail of some toxics.
func ailing(toxics ...string) func(context.Context, *run, time.Duration) error {
	return func(ctx context.Context, r *run, d time.Duration) (err error) {
		for _, text := range toxics {
			heal, e := r.network.toxic(text)
			if e != nil {
				err = errors.Join(err, e)
				continue
			}
			defer heal()
		}
		pause(ctx, d)
		return err
	}
}
