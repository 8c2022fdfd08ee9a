package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/batch-go/batch/examples/service/config"
	"github.com/batch-go/batch/examples/service/telemetry"
)

// ops is the server for those who operate the service: Kubernetes, Prometheus and KEDA. It is on a port of its own, which
// the outside world does not get.
type ops struct {
	listener net.Listener
	server   *http.Server
	mux      *http.ServeMux
	// live and ready answer probes. A process without a worker is alive if it answers, and ready until it stops. It
	// does not ask the broker: an API that is taken out of its load balancer cannot say "try again later".
	live, ready http.Handler
}

// listenOps takes the address, but answers nobody yet.
func listenOps(ctx context.Context, address string) (*ops, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	o := &ops{listener: listener, mux: http.NewServeMux()}
	o.server = &http.Server{Handler: o.mux, ReadHeaderTimeout: 5 * time.Second}
	return o, nil
}

// address is where it listens.
func (o *ops) address() string { return o.listener.Addr().String() }

// serve begins to answer. The process is ready until ctx ends.
func (o *ops) serve(ctx context.Context, about *telemetry.Telemetry) {
	if o.live == nil {
		o.live = answer(func() bool { return true })
		o.ready = answer(func() bool { return ctx.Err() == nil })
	}
	o.mux.Handle("GET "+config.LivePath, o.live)
	o.mux.Handle("GET "+config.ReadyPath, o.ready)
	o.mux.Handle("GET "+config.MetricsPath, about.Scrape())
	go func() { _ = o.server.Serve(o.listener) }()
}

// close ends it, with what it is answering.
func (o *ops) close() {
	_ = o.server.Close()
	_ = o.listener.Close()
}

// answer is a probe.
func answer(good func() bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !good() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, good())
	})
}
