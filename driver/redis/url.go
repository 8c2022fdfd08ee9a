package redis

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

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

// The shapes that a server has.
const (
	shapeSingle   = ""
	shapeCluster  = "cluster"
	shapeSentinel = "sentinel"
)

// config is what a URL says.
type config struct {
	shape            string
	addrs            []string
	master           string
	user, password   string
	sentUser, sentPw string
	db               int
	tls              *tls.Config
	dial, timeout    time.Duration
	pool             int
	options          Options
}

// parse reads a URL as doc.go documents it. No error repeats a credential.
func parse(u *url.URL) (*config, error) {
	c := &config{}
	scheme, shape, _ := strings.Cut(u.Scheme, "+")
	if (scheme != "redis" && scheme != "rediss") || (shape != shapeSingle && shape != shapeCluster && shape != shapeSentinel) {
		return nil, invalid(fmt.Errorf("the scheme %q is none of %s", u.Scheme, strings.Join(schemes, ", ")))
	}
	c.shape = shape
	if u.Opaque != "" || u.Fragment != "" {
		return nil, invalid(errors.New("the URL does not have the form " + u.Scheme + "://user:password@host:port"))
	}
	c.user = u.User.Username()
	c.password, _ = u.User.Password()

	p := driver.NewParams(Name, u)
	port := "6379"
	if shape == shapeSentinel {
		port = "26379"
	}
	hosts := []string{u.Host}
	if shape != shapeSingle {
		hosts = append(hosts, p.Strings("addr")...)
	}
	for i, host := range hosts {
		if host == "" && i == 0 {
			host = "localhost"
		}
		addr, err := address(host, port)
		if err != nil {
			return nil, invalid(err)
		}
		c.addrs = append(c.addrs, addr)
	}
	if path := strings.Trim(u.Path, "/"); path != "" {
		n, err := strconv.Atoi(path)
		if err != nil || n < 0 {
			return nil, invalid(fmt.Errorf("the path %q is not the number of a database", path))
		}
		if n != 0 && shape == shapeCluster {
			return nil, invalid(errors.New("a cluster has database 0 only"))
		}
		c.db = n
	}
	if shape == shapeSentinel {
		c.master = p.String("master", "")
		c.sentUser = p.String("sentinel_user", "")
		c.sentPw = p.String("sentinel_password", "")
		if c.master == "" {
			return nil, invalid(errors.New("parameter master is missing: the name that Sentinel has for the primary"))
		}
	}
	c.dial = p.Duration("dial_timeout", 5*time.Second, time.Millisecond, time.Minute)
	c.timeout = p.Duration("timeout", 10*time.Second, 10*time.Millisecond, 10*time.Minute)
	// Connections are made as they are needed; this bounds them for the case of
	// an error, above what a large process uses.
	c.pool = p.Int("pool_size", 512, 2, 100000)
	c.options.DedupWindow = p.Duration("dedup_window", defaultDedupWindow, time.Second, maxDedupWindow)
	switch eviction := p.String("eviction", "refuse"); eviction {
	case "allow":
		c.options.AllowEviction = true
	case "refuse":
	default:
		return nil, invalid(fmt.Errorf("parameter eviction=%q is not allow or refuse", eviction))
	}
	if scheme == "rediss" {
		host, _, _ := net.SplitHostPort(c.addrs[0])
		name := p.String("tls_server_name", host)
		if shape != shapeSingle {
			// Each node is checked against the address that it is dialled at.
			name = p.String("tls_server_name", "")
		}
		config, err := tlsConfig(name, p.String("tls_ca", ""), p.String("tls_cert", ""), p.String("tls_key", ""))
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

// isTLS tells errors of the handshake.
func isTLS(err error) bool {
	var verify *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	return errors.As(err, &verify) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &host)
}

// client makes the client that the configuration describes.
func (c *config) client() goredis.UniversalClient {
	u := &goredis.UniversalOptions{
		Addrs: c.addrs, MasterName: c.master, DB: c.db,
		Username: c.user, Password: c.password,
		SentinelUsername: c.sentUser, SentinelPassword: c.sentPw,
		TLSConfig: c.tls,
		// What the driver parses is RESP2; both servers have it for good.
		Protocol: 2,
		// The driver never tries again: who calls knows the deadline. The dialer
		// has a setting of its own, where 1 is one try.
		MaxRetries: -1, DialerRetries: 1,
		DialTimeout: c.dial, ReadTimeout: c.timeout, WriteTimeout: c.timeout, PoolTimeout: c.timeout,
		PoolSize:      c.pool,
		IsClusterMode: c.shape == shapeCluster,
	}
	switch c.shape {
	case shapeCluster:
		return goredis.NewClusterClient(u.Cluster())
	case shapeSentinel:
		return goredis.NewFailoverClient(u.Failover())
	default:
		return goredis.NewClient(u.Simple())
	}
}

func invalid(err error) error {
	return &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: err}
}
