package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const (
	// headerTimeout is how long a connection may take to say what it wants.
	headerTimeout = 10 * time.Second
	// idleTimeout is how long a connection is kept that wants nothing.
	idleTimeout = 2 * time.Minute
	// endTimeout is how long requests have to end when the command does. Their contexts have ended by then.
	endTimeout = 5 * time.Second
)

// site serves a handler on a listener.
type site struct {
	handler  http.Handler
	closing  func() error // ends what the handler would go on with
	listener net.Listener
	log      io.Writer
}

// url is where a browser finds what is below a path. If all addresses of this machine are listened on, it has its name.
func (s *site) url(path string) string {
	address := s.listener.Addr().String()
	if tcp, ok := s.listener.Addr().(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			address = net.JoinHostPort(name, strconv.Itoa(tcp.Port))
		}
	}
	return "http://" + address + "/" + path + "/"
}

// serve serves until ctx ends, and then lets requests end.
func (s *site) serve(ctx context.Context) error {
	server := &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          log.New(s.log, "batch: ", 0),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.listener) }()
	select {
	case err := <-ended: // nothing else ends it yet
		return errors.Join(err, s.closing())
	case <-ctx.Done():
	}
	err := s.closing()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
	defer cancel()
	if shut := server.Shutdown(ending); shut != nil {
		err = errors.Join(err, server.Close())
	}
	<-ended
	return err
}
