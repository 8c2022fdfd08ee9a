package nats

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// schemes are those of the driver's URLs.
var schemes = []string{"nats", "tls", "nats+tls"}

// config is what a URL says.
type config struct {
	servers        []string
	user, password string
	token          string
	creds          string
	nkey           natsgo.Option
	tls            *tls.Config
	dial           time.Duration
	name           string
	options        Options
}

// parseURL reads a URL as doc.go documents it. No error repeats a credential.
func parseURL(u *url.URL) (*config, error) {
	scheme := "nats://"
	switch u.Scheme {
	case "nats":
	case "tls", "nats+tls":
		scheme = "tls://"
	default:
		return nil, invalid(fmt.Errorf("the scheme %q is none of %s", u.Scheme, strings.Join(schemes, ", ")))
	}
	if u.Opaque != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, invalid(errors.New("the URL does not have the form " + u.Scheme + "://user:password@host:port,host:port"))
	}
	c := &config{}
	p := driver.NewParams(Name, u)
	for _, addr := range p.Addrs("4222", strings.Split(u.Host, ",")...) {
		c.servers = append(c.servers, scheme+addr)
	}
	c.readCredentials(u, p)
	c.dial = p.Duration("dial_timeout", 5*time.Second, time.Millisecond, time.Minute)
	c.name = p.String("name", "batch")
	c.options.Prefix = p.String("prefix", defaultPrefix)
	c.options.Domain = p.String("domain", "")
	c.options.GroupCommit = p.Bool("group_commit", false)
	c.options.Replicas = p.Int("replicas", 0, 1, maxReplicas)
	c.options.DedupWindow = p.Duration("dedup_window", defaultDedupWindow, minDedupWindow, maxDedupWindow)
	if scheme == "tls://" {
		// Without a name each server is checked against the address that is dialled.
		c.tls = p.TLS("")
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readCredentials reads what the connection is authenticated with.
func (c *config) readCredentials(u *url.URL, p *driver.Params) {
	if u.User != nil {
		c.user = u.User.Username()
		var both bool
		if c.password, both = u.User.Password(); !both {
			// As all clients of NATS read it: one word is a token.
			c.token, c.user = c.user, ""
		}
	}
	if p.Has("token") {
		c.token = p.String("token", "")
		if u.User != nil {
			p.Refuse("a token and a user exclude each other")
		}
	}
	c.creds = p.String("creds", "")
	nkey := p.String("nkey", "")
	if c.creds != "" && nkey != "" {
		p.Refuse("parameters creds and nkey exclude each other")
	}
	if c.creds != "" {
		if _, err := os.Stat(c.creds); err != nil {
			p.Refuse("parameter creds: %w", err)
		}
	}
	if nkey != "" {
		var err error
		if c.nkey, err = natsgo.NkeyOptionFromSeed(nkey); err != nil {
			p.Refuse("parameter nkey: %w", err)
		}
	}
}

// client is the configuration in the client library's terms.
func (c *config) client() *natsgo.Options {
	o := natsgo.GetDefaultOptions()
	o.Name = c.name
	o.User, o.Password, o.Token = c.user, c.password, c.token
	o.Timeout = c.dial
	if c.tls != nil {
		o.Secure, o.TLSConfig = true, c.tls
	}
	if c.creds != "" {
		_ = natsgo.UserCredentials(c.creds)(&o) // it only sets fields
	}
	if c.nkey != nil {
		_ = c.nkey(&o) // it only sets fields
	}
	// It is made anew by the driver; see dialer. Resolving names is left to the
	// dialling, which ends with its ctx.
	o.AllowReconnect, o.SkipHostLookup = false, true
	// A socket bounds its writes itself.
	o.FlusherTimeout = -1
	// A connection that a firewall forgot is noticed within 20 s.
	o.PingInterval, o.MaxPingsOut = 10*time.Second, 2
	// The client library prints these if nobody takes them.
	o.AsyncErrorCB = func(*natsgo.Conn, *natsgo.Subscription, error) {}
	return &o
}

// reconnectDelay is 50 ms at first and two seconds at last, with as much again
// by chance, so that a thousand workers do not come at the same moment.
func reconnectDelay(attempts int) time.Duration {
	d := min(50*time.Millisecond<<min(attempts, 6), 2*time.Second)
	return d + rand.N(d)
}
