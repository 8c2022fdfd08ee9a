package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/service/api"
	"github.com/batch-go/batch/examples/service/config"
	"github.com/batch-go/batch/examples/service/jobs"
	"github.com/batch-go/batch/examples/service/mail"
	"github.com/batch-go/batch/examples/service/schedule"
	"github.com/batch-go/batch/examples/service/telemetry"
	"github.com/batch-go/batch/examples/service/worker"
	"github.com/batch-go/batch/health"
)

// service is what the parts that run in a process share.
type service struct {
	config    config.Config
	telemetry *telemetry.Telemetry
	broker    jobs.Broker
	hooks     []batch.Hook
	ops       *ops
}

// part works until ctx ends, and then until what has begun is done.
type part func(ctx context.Context) error

// roles are what a process can be called as, with the parts that run in it.
var roles = map[string][]func(*service) (part, error){
	"api":       {newAPI},
	"worker":    {newWorker},
	"scheduler": {newScheduler},
	"all":       {newAPI, newWorker, newScheduler},
}

// newAPI makes the API. It also tells how many jobs there are, since it is there when there is no worker: as metrics, and
// for the autoscaler.
func newAPI(s *service) (part, error) {
	if err := s.telemetry.WatchDepths(s.broker, jobs.Queues()); err != nil {
		return nil, err
	}
	scale, err := health.TryScale(s.broker, health.ScaleConfig{Queues: jobs.Queues()})
	if err != nil {
		return nil, err
	}
	s.ops.mux.Handle("GET "+config.ScalePath, scale)
	mux := http.NewServeMux()
	mux.Handle("/", s.telemetry.Requests(api.Handler(api.Config{Broker: s.broker, Hooks: s.hooks, Log: s.telemetry.Log})))
	closeBoard, err := mountDashboard(s, mux)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", s.config.Address)
	if err != nil {
		return nil, errors.Join(err, closeBoard())
	}
	return func(ctx context.Context) error {
		defer closeBoard()
		s.telemetry.Log.InfoContext(ctx, "the API listens", "address", listener.Addr().String())
		return serve(ctx, listener, mux, s.config)
	}, nil
}

// mountDashboard puts the dashboard below /batch/, if anybody may see it.
func mountDashboard(s *service, mux *http.ServeMux) (closeBoard func() error, err error) {
	logins := api.Logins{api.Viewer: s.config.ViewerPassword, api.Admin: s.config.AdminPassword}
	if logins[api.Viewer] == "" && logins[api.Admin] == "" {
		s.telemetry.Log.Info("there is no dashboard, as nobody has a password for it")
		return func() error { return nil }, nil
	}
	board, err := api.Dashboard(s.broker, s.telemetry.Log)
	if err != nil {
		return nil, err
	}
	mux.Handle("/batch/", logins.Require(http.StripPrefix("/batch", board)))
	return board.Close, nil
}

// serve answers until ctx ends, and then the requests that have begun.
func serve(ctx context.Context, listener net.Listener, h http.Handler, c config.Config) error {
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.StopTimeout)
	defer cancel()
	return server.Shutdown(closing)
}

// newWorker makes the worker, which answers probes as package health has it.
func newWorker(s *service) (part, error) {
	var mails mail.Sender = mail.Log{To: s.telemetry.Log}
	if s.config.MailURL != "" {
		mails = &mail.Provider{URL: s.config.MailURL, Client: s.telemetry.Client()}
	}
	w, check, err := worker.New(worker.Config{
		Broker: s.broker, Mails: mails, Concurrency: s.config.Concurrency, StopTimeout: s.config.StopTimeout,
		BrokerPatience: s.config.BrokerPatience, Hooks: s.hooks, Log: s.telemetry.Log,
	})
	if err != nil {
		return nil, err
	}
	s.ops.live, s.ops.ready = check.Live(w), check.Ready(w)
	return w.Run, nil // until ctx ends: what runs has StopTimeout then
}

// newScheduler makes the scheduler.
func newScheduler(s *service) (part, error) {
	scheduler, err := schedule.New(schedule.Config{Broker: s.broker, Hooks: s.hooks, Log: s.telemetry.Log, Metrics: s.telemetry.Metrics})
	if err != nil {
		return nil, fmt.Errorf("schedules: %w", err)
	}
	return scheduler.Run, nil
}
