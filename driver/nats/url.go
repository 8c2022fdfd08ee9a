package nats

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

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

// parse reads a URL as doc.go documents it. No error repeats a credential.
func parse(u *url.URL) (*config, error) {
	secure := false
	switch u.Scheme {
	case "nats":
	case "tls", "nats+tls":
		secure = true
	default:
		return nil, invalid(fmt.Errorf("the scheme %q is none of %s", u.Scheme, strings.Join(schemes, ", ")))
	}
	if u.Opaque != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, invalid(errors.New("the URL does not have the form " + u.Scheme + "://user:password@host:port,host:port"))
	}
	c := &config{}
	if u.User != nil {
		c.user = u.User.Username()
		var both bool
		if c.password, both = u.User.Password(); !both {
			// As all clients of NATS read it: one word is a token.
			c.token, c.user = c.user, ""
		}
	}
	p := driver.NewParams(Name, u)
	hosts := append(strings.Split(u.Host, ","), p.Strings("addr")...)
	scheme := "nats://"
	if secure {
		scheme = "tls://"
	}
	for i, host := range hosts {
		if host == "" && i == 0 {
			host = "localhost"
		}
		addr, err := address(host, "4222")
		if err != nil {
			return nil, invalid(err)
		}
		c.servers = append(c.servers, scheme+addr)
	}
	if p.Has("token") {
		if u.User != nil {
			return nil, invalid(errors.New("a token and a user exclude each other"))
		}
		c.token = p.String("token", "")
	}
	c.creds = p.String("creds", "")
	nkey := p.String("nkey", "")
	if c.creds != "" && nkey != "" {
		return nil, invalid(errors.New("parameters creds and nkey exclude each other"))
	}
	if c.creds != "" {
		if _, err := os.Stat(c.creds); err != nil {
			return nil, invalid(fmt.Errorf("parameter creds: %w", err))
		}
	}
	if nkey != "" {
		var err error
		if c.nkey, err = natsgo.NkeyOptionFromSeed(nkey); err != nil {
			return nil, invalid(fmt.Errorf("parameter nkey: %w", err))
		}
	}
	c.dial = p.Duration("dial_timeout", 5*time.Second, time.Millisecond, time.Minute)
	c.name = p.String("name", "batch")
	c.options.Prefix = p.String("prefix", "batch")
	c.options.Domain = p.String("domain", "")
	c.options.GroupCommit = p.Bool("group_commit", false)
	c.options.Replicas = p.Int("replicas", 0, 1, 5)
	c.options.DedupWindow = p.Duration("dedup_window", defaultDedupWindow, time.Second, maxDedupWindow)
	if secure {
		config, err := tlsConfig(p.String("tls_server_name", ""), p.String("tls_ca", ""), p.String("tls_cert", ""), p.String("tls_key", ""))
		if err != nil {
			return nil, invalid(err)
		}
		c.tls = config
	}
	if err := p.Err(); err != nil {
		return nil, err
	}
	return c, nil
}

// address completes host by port.
func address(host, port string) (string, error) {
	u, err := url.Parse("//" + host)
	if err != nil || u.Host != host || u.Hostname() == "" || u.User != nil {
		return "", errors.New("an address is not of the form host:port")
	}
	if own := u.Port(); own != "" {
		port = own
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("port %q is not between 1 and 65535", port)
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

func tlsConfig(name, ca, cert, key string) (*tls.Config, error) {
	// Without a name each server is checked against the address it is dialled at.
	config := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: name}
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			return nil, fmt.Errorf("tls_ca cannot be read: %w", err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls_ca %s holds no certificate in PEM form", ca)
		}
	}
	if (cert == "") != (key == "") {
		return nil, errors.New("tls_cert and tls_key need each other")
	}
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("tls_cert and tls_key cannot be used: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}

// client is the configuration in the client library's terms.
func (c *config) client() *natsgo.Options {
	o := natsgo.GetDefaultOptions()
	o.Servers = c.servers
	o.Name = c.name
	o.User, o.Password, o.Token = c.user, c.password, c.token
	o.Timeout = c.dial
	if c.tls != nil {
		o.Secure, o.TLSConfig = true, c.tls
	}
	if c.creds != "" {
		_ = natsgo.UserCredentials(c.creds)(&o)
	}
	if c.nkey != nil {
		_ = c.nkey(&o)
	}
	// The connection is made anew in the background for as long as the driver is
	// open; no call waits for that. The first connect is tried once.
	o.AllowReconnect, o.MaxReconnect, o.RetryOnFailedConnect = true, -1, false
	o.CustomReconnectDelayCB = reconnectDelay
	// A publish while the connection is down fails, and is not sent some time
	// later behind the caller's back.
	o.ReconnectBufSize = -1
	// A server whose credentials were refused may get others: keep trying.
	o.IgnoreAuthErrorAbort = true
	// A connection that a firewall forgot is noticed within 20 s.
	o.PingInterval, o.MaxPingsOut = 10*time.Second, 2
	return &o
}

// reconnectDelay is 50 ms at first and two seconds at last, with as much again
// by chance, so that a thousand workers do not come at the same moment.
func reconnectDelay(attempts int) time.Duration {
	d := min(50*time.Millisecond<<min(attempts, 6), 2*time.Second)
	return d + jitter(d)
}
