package nats

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/internal/lifecycle"
)

// dialer connects to the servers of a URL, again and again. The client library's own
// reconnecting is not used, as it dials with the lock held that every call takes: a
// call would wait for as long as a host that does not answer is waited for.
type dialer struct {
	config *config

	mu    sync.Mutex // guards following
	known []string   // servers of the cluster, as the last one connected to told
}

// attempt is one try to connect, as the client library's CustomDialer.
type attempt struct {
	ctx     context.Context // of the try; its end closes what was dialled
	timeout time.Duration

	mu     sync.Mutex // guards following
	socket *socket    // the last that was dialled
	stops  []func() bool
}

// Dial dials one address.
func (a *attempt) Dial(network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: a.timeout}).DialContext(a.ctx, network, address)
	if err != nil {
		return nil, err
	}
	s := &socket{Conn: conn}
	stop := context.AfterFunc(a.ctx, func() { _ = conn.Close() }) // ends a handshake under way
	a.mu.Lock()
	defer a.mu.Unlock()
	a.socket, a.stops = s, append(a.stops, stop)
	return s, nil
}

// keep lets the end of the try's ctx close nothing any more; false says that it has.
func (a *attempt) keep() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	kept := true
	for i, stop := range a.stops {
		kept = stop() || i < len(a.stops)-1 // the others were given up
	}
	return kept
}

// dial tries each server once: those of the URL, and then those that are known of.
func (d *dialer) dial(ctx context.Context) (*link, error) {
	l, err := d.try(ctx, d.config.servers, "")
	d.mu.Lock()
	known := slices.Clone(d.known)
	d.mu.Unlock()
	rand.Shuffle(len(known), func(i, j int) { known[i], known[j] = known[j], known[i] })
	for _, server := range known {
		if err == nil || ctx.Err() != nil {
			break
		}
		// Each alone, so that the library tells the others from it, and forgets those
		// that the cluster has lost.
		if l, err = d.try(ctx, []string{server}, certificateName(server, d.config.servers)); err == nil {
			l.server = server
		}
	}
	return l, err
}

// learn takes note of the servers that a link was told of, until it was lost: the
// cluster may have grown since it was made. One that was told of none changes nothing.
func (d *dialer) learn(l *link) {
	told := l.nc.DiscoveredServers()
	if len(told) == 0 {
		return
	}
	if l.server != "" {
		told = append(told, l.server)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.known = told
}

// try tries each of some servers once. Their certificates have the name serverName, if
// that is not empty and the URL does not say another.
func (d *dialer) try(ctx context.Context, servers []string, serverName string) (*link, error) {
	o := d.config.client()
	if deadline, ok := ctx.Deadline(); ok {
		o.Timeout = min(o.Timeout, max(time.Until(deadline), time.Millisecond))
	}
	o.Servers = servers
	if o.TLSConfig == nil {
		o.TLSConfig = &tls.Config{} // for a server that demands TLS of a URL that does not say so
	}
	if o.TLSConfig.ServerName == "" && serverName != "" {
		o.TLSConfig = o.TLSConfig.Clone()
		o.TLSConfig.ServerName = serverName
	}
	a := &attempt{ctx: ctx, timeout: o.Timeout}
	o.CustomDialer = a
	l := &link{gone: make(chan struct{})}
	o.ClosedCB = func(*natsgo.Conn) { close(l.gone) }
	nc, err := o.Connect()
	if kept := a.keep(); err == nil && !kept {
		nc.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, err
	}
	l.nc, l.socket, l.payload = nc, a.socket, nc.MaxPayload()
	_, err = nc.TLSConnectionState()
	l.open = errors.Is(err, natsgo.ErrConnectionNotTLS)
	return l, nil
}

// redial tries until it has a link, or ctx ends.
func (d *dialer) redial(ctx context.Context) *link {
	for attempts := 0; ; attempts++ {
		if lifecycle.Sleep(ctx, reconnectDelay(attempts)) != nil {
			return nil
		}
		if l, err := d.dial(ctx); err == nil {
			return l
		}
	}
}

// certificateName is the name in the certificate of a server that others told of, if
// it is known by its address alone: the first host of the URL's servers that is a name.
// It is "" for one that is known by a name of its own.
func certificateName(server string, servers []string) string {
	if u, err := url.Parse(server); err != nil || net.ParseIP(u.Hostname()) == nil {
		return ""
	}
	for _, server := range servers {
		if u, err := url.Parse(server); err == nil && net.ParseIP(u.Hostname()) == nil {
			return u.Hostname()
		}
	}
	return ""
}
