package amqp

import (
	"crypto/tls"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// schemeTLS is the scheme of a broker that is reached over TLS.
const schemeTLS = "amqps"

// shape is what keeps the waiting jobs of a queue.
type shape string

// The shapes, as the parameter priority names them.
const (
	// shapePlain is a quorum queue whose order is of no concern.
	shapePlain shape = "none"
	// shapeQuorum is a quorum queue that orders strictly, as of 4.3.
	shapeQuorum shape = "quorum"
	// shapeClassic is a classic queue with x-max-priority: not replicated.
	shapeClassic shape = "classic"
)

// secret returns a password. As a function it is printed by no verb, at whatever depth:
// package fmt follows pointers when a verb does not fit.
type secret func() string

// secretOf keeps a password.
func secretOf(password string) secret { return func() string { return password } }

// config is a URL as parsed.
type config struct {
	addrs       []string
	user        string
	password    secret
	external    bool // the client's certificate tells the user
	vhost       string
	tls         *tls.Config // nil without TLS
	dialTimeout time.Duration
	heartbeat   time.Duration
	shape       shape
	shapeGiven  bool
}

// parseURL reads a URL as doc.go documents it. No error repeats a credential.
func parseURL(u *url.URL) (*config, error) {
	p := driver.NewParams(Name, u)
	if u.Scheme != Name && u.Scheme != schemeTLS {
		p.Refuse("the scheme %q is none of %s, %s", u.Scheme, Name, schemeTLS)
	}
	if u.Opaque != "" || u.Fragment != "" {
		p.Refuse("the URL does not have the form %s://user:password@host:port/vhost", u.Scheme)
	}
	c := &config{user: "guest", password: secretOf("guest"), vhost: vhostOf(u, p)}
	if u.User != nil {
		password, _ := u.User.Password()
		c.user, c.password = u.User.Username(), secretOf(password)
	}
	secure, port := u.Scheme == schemeTLS, "5672"
	if secure {
		port = "5671"
	}
	c.addrs = p.Addrs(port, u.Host)
	if secure {
		host, _, _ := net.SplitHostPort(c.addrs[0])
		if len(c.addrs) > 1 {
			host = "" // each is checked against the address that it is dialled at
		}
		c.tls = p.TLS(host)
	}
	c.external = p.Choice("auth", "plain", "plain", "external") == "external"
	if c.external && !secure {
		p.Refuse("auth=external takes the user from a client certificate, which needs amqps")
	}
	c.dialTimeout = p.Duration("dial_timeout", 10*time.Second, 10*time.Millisecond, 10*time.Minute)
	// The protocol counts heartbeats in seconds. The client gives a connection
	// up after three that were missed, the broker after two.
	c.heartbeat = p.Duration("heartbeat", 10*time.Second, time.Second, 10*time.Minute)
	c.shapeGiven = p.Has("priority")
	c.shape = shape(p.Choice("priority", string(shapePlain), string(shapePlain), string(shapeQuorum), string(shapeClassic)))
	if err := p.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// vhostOf is the vhost that the path names. A path of one slash names the default
// vhost, as everybody expects, and not the one with an empty name, as
// https://www.rabbitmq.com/docs/uri-spec has it: RabbitMQ cannot even make that.
func vhostOf(u *url.URL, p *driver.Params) string {
	path := strings.TrimPrefix(u.EscapedPath(), "/")
	if path == "" {
		return "/"
	}
	vhost, err := url.PathUnescape(path)
	if err != nil || strings.Contains(path, "/") {
		p.Refuse("the path is not a vhost: a slash in its name, or in a password, is written %%2F")
	}
	return vhost
}
