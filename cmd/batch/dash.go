package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/dash"
)

// dashOptions are the flags of batch dash.
type dashOptions struct {
	listen  string
	exposed bool
	actions bool
	bodies  bool
	queues  []string
}

// dashRecord says where the dashboard is, for programs.
type dashRecord struct {
	URL     string `json:"url"`
	Actions bool   `json:"actions"`
	Bodies  bool   `json:"bodies"`
}

// dashCommand serves the dashboard.
func (a *app) dashCommand() *cobra.Command {
	var o dashOptions
	c := &cobra.Command{
		Use:     "dash",
		GroupID: groupLook,
		Short:   "Serve a dashboard to this machine's browser",
		Long: `Serve the pages of package dash on this machine, until Ctrl-C: queues, depths, dead
letters with what they died of, waiting and scheduled jobs. The pages only show, unless
--allow-actions lets them redrive, delete, purge and pause; they show no body of a job,
unless --show-bodies does.

The address that is printed has a secret in it, made up anew each time. Without it nobody
gets in: neither other users of this machine, nor a page of somebody else in the same
browser. With it anybody can do all that the flags allow.

It listens where only this machine reaches it. --expose-without-tls lets other machines in,
and then what is shown, and the secret, can be read on the way.`,
		Example: `  batch dash
  batch dash --allow-actions --show-bodies
  batch dash --queue emails --queue reports     on RabbitMQ, which cannot list queues
  batch dash --listen 127.0.0.1:0 -json         on a free port`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			address, err := o.address(c.Context())
			if err != nil {
				return err
			}
			return a.on(c.Context(), func(d batch.Driver) error { return a.dash(c.Context(), d, o, address) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8420", "where to listen, with port 0 for a free one")
	flags.BoolVar(&o.exposed, "expose-without-tls", false, "allow a --listen that other machines reach")
	flags.BoolVar(&o.actions, "allow-actions", false, "let the pages redrive, delete, purge and pause")
	flags.BoolVar(&o.bodies, "show-bodies", false, "show the bodies and headers of jobs, and with --allow-actions edit them")
	flags.StringArrayVar(&o.queues, "queue", nil, "show this queue only; may be given again (default all)")
	_ = c.RegisterFlagCompletionFunc("queue", a.completeQueue(true))
	return c
}

// address is the one to listen on. It is refused if other machines reach it and nobody has said that they may.
func (o *dashOptions) address(ctx context.Context) (string, error) {
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return "", usage("--listen %s: want an address and a port, as in 127.0.0.1:8420", o.listen)
	}
	if o.exposed {
		return o.listen, nil
	}
	var found []netip.Addr
	if host != "" { // which is every address of this machine
		if found, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host); err != nil {
			return "", usage("--listen %s: %v", o.listen, err)
		}
	}
	slices.SortStableFunc(found, func(a, b netip.Addr) int { return cmp.Compare(a.Unmap().BitLen(), b.Unmap().BitLen()) }) // every machine has IPv4's
	for _, ip := range found {
		if ip.Unmap().IsLoopback() {
			return net.JoinHostPort(ip.String(), port), nil
		}
	}
	return "", usage("--listen %s: other machines reach this address, and could read what is shown and the secret in the URL on the way: listen on 127.0.0.1, or say --expose-without-tls", o.listen)
}

// dash serves the dashboard until ctx ends, which is how it is meant to end.
func (a *app) dash(ctx context.Context, d batch.Driver, o dashOptions, address string) error {
	if len(o.queues) == 0 {
		if _, err := a.listQueues(ctx, d, "batch dash --queue emails --queue reports"); err != nil {
			return err
		}
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return usage("--listen %s: %v: --listen 127.0.0.1:0 takes a free port", o.listen, err)
	}
	defer listener.Close() // an error of it changes nothing: nobody is served any more
	config := dash.Config{Queues: o.queues, ShowBodies: o.bodies, Logger: slog.New(slog.NewTextHandler(a.logs(), nil))}
	if o.actions {
		config.Authorizer = dash.AllowAll // all who have the secret
	}
	pages, err := dash.New(d, config)
	if err != nil {
		return err
	}
	secret := rand.Text() // 128 bits
	s := &site{handler: behind(secret, pages), closing: pages.Close, listener: listener, log: a.logs()}
	if err := a.announce(d, o, s.url(secret)); err != nil {
		return errors.Join(err, pages.Close())
	}
	return s.serve(ctx)
}

// announce says where the dashboard is.
func (a *app) announce(d batch.Driver, o dashOptions, url string) error {
	if a.json {
		return a.print(dashRecord{URL: url, Actions: o.actions, Bodies: o.bodies})
	}
	if err := a.say("%s: %s", product(d), url); err != nil {
		return err
	}
	allowed := "the pages only show: --allow-actions lets them redrive, delete, purge and pause"
	if o.actions {
		allowed = "with this address anybody on this machine can redrive, delete, purge and pause: keep it to yourself"
	}
	a.note("%s. Ctrl-C ends it", allowed)
	return nil
}

// behind serves below a path that nobody can guess. It is no cookie: browsers send those to every port of a machine, and so
// to servers of its other users.
func behind(secret string, next http.Handler) http.Handler {
	next = http.StripPrefix("/"+secret, next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		if subtle.ConstantTimeCompare([]byte(given), []byte(secret)) != 1 {
			http.Error(w, "Open the address that batch dash has printed: it has a secret in it, which this one lacks.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}
