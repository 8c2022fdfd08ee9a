package amqp

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

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

var schemes = []string{"amqp", "amqps"}

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

// config is a URL as parsed.
type config struct {
	addrs          []string
	user, password string
	external       bool
	vhost          string
	tls            *tls.Config
	dialTimeout    time.Duration
	heartbeat      time.Duration
	shape          shape
	shapeGiven     bool
}

// parse reads a URL as doc.go documents it. No error repeats a credential.
func parse(u *url.URL) (*config, error) {
	c := &config{user: "guest", password: "guest"}
	if u.Scheme != "amqp" && u.Scheme != "amqps" {
		return nil, invalid(fmt.Errorf("the scheme %q is none of %s", u.Scheme, strings.Join(schemes, ", ")))
	}
	if u.Opaque != "" || u.Fragment != "" {
		return nil, invalid(errors.New("the URL does not have the form " + u.Scheme + "://user:password@host:port/vhost"))
	}
	if u.User != nil {
		c.user = u.User.Username()
		c.password, _ = u.User.Password()
	}
	// A path of one slash names the default vhost, as everybody expects of it,
	// and not the one with an empty name, as https://www.rabbitmq.com/docs/uri-spec
	// has it: RabbitMQ cannot even make that.
	c.vhost = "/"
	if path := strings.TrimPrefix(u.EscapedPath(), "/"); path != "" {
		vhost, err := url.PathUnescape(path)
		if err != nil || strings.Contains(path, "/") {
			return nil, invalid(fmt.Errorf("the path %q is not a vhost: a slash in its name is written %%2F", u.EscapedPath()))
		}
		c.vhost = vhost
	}

	p := driver.NewParams(Name, u)
	port := "5672"
	if u.Scheme == "amqps" {
		port = "5671"
	}
	for i, host := range append([]string{u.Host}, p.Strings("addr")...) {
		if host == "" && i == 0 {
			host = "localhost"
		}
		addr, err := address(host, port)
		if err != nil {
			return nil, invalid(err)
		}
		c.addrs = append(c.addrs, addr)
	}
	c.dialTimeout = p.Duration("dial_timeout", 10*time.Second, 10*time.Millisecond, 10*time.Minute)
	// The protocol counts heartbeats in seconds. The client gives a connection
	// up after three that were missed, the broker after two.
	c.heartbeat = p.Duration("heartbeat", 10*time.Second, time.Second, 10*time.Minute)
	c.shapeGiven = p.Has("priority")
	switch c.shape = shape(p.String("priority", string(shapePlain))); c.shape {
	case shapePlain, shapeQuorum, shapeClassic:
	default:
		return nil, invalid(fmt.Errorf("parameter priority=%q is not none, quorum or classic", c.shape))
	}
	switch auth := p.String("auth", "plain"); auth {
	case "plain":
	case "external":
		c.external = true
		if u.Scheme != "amqps" {
			return nil, invalid(errors.New("auth=external takes the user from a client certificate, which needs amqps"))
		}
	default:
		return nil, invalid(fmt.Errorf("parameter auth=%q is not plain or external", auth))
	}
	if u.Scheme == "amqps" {
		host, _, _ := net.SplitHostPort(c.addrs[0])
		if len(c.addrs) > 1 {
			host = "" // each is checked against the address that it is dialled at
		}
		config, err := tlsConfig(p.String("tls_server_name", host), p.String("tls_ca", ""), p.String("tls_cert", ""), p.String("tls_key", ""))
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

// auth is a fresh value for each connection, as the library clears the password
// of what it used.
func (c *config) auth() []amqp091.Authentication {
	if c.external {
		return []amqp091.Authentication{&amqp091.ExternalAuth{}}
	}
	return []amqp091.Authentication{&amqp091.PlainAuth{Username: c.user, Password: c.password}}
}

func invalid(err error) error {
	return &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: err}
}
