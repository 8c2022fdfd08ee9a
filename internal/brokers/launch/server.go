package launch

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
)

// A Protocol is what the clients of a server speak to it.
type Protocol string

// The protocols that the launcher speaks.
const (
	Redis    Protocol = "redis"
	RabbitMQ Protocol = "rabbitmq"
	NATS     Protocol = "nats"
	SQS      Protocol = "sqs"

	PostgreSQL Protocol = "postgresql"
	MariaDB    Protocol = "mariadb" // that of MySQL
)

// Schemes returns the scheme of URLs, and the one of URLs of servers that speak TLS. Both are the same where
// the query of a URL says whether there is TLS.
func (p Protocol) Schemes() (plain, secure string) {
	switch p {
	case Redis:
		return "redis", "rediss"
	case RabbitMQ:
		return "amqp", "amqps"
	case NATS:
		return "nats", "tls"
	case SQS:
		return "http", "https"
	case PostgreSQL:
		return "postgres", "postgres"
	case MariaDB:
		return "mysql", "mysql"
	}
	panic(fmt.Sprintf("launch: no protocol %q", string(p)))
}

// A Server is one running server, as its clients see it. It keeps its address when it is stopped and
// started again.
type Server struct {
	ID       string   // of its container; empty when the launcher did not start it
	Protocol Protocol // of its clients
	Name     string   // what the server says it is, such as "redis" or "valkey"
	Version  string   // the version that the server reports
	Image    string   // the image it runs from; empty when the launcher did not start it
	Addr     string   // host:port, reachable from the test
	HTTP     string   // likewise, of its HTTP API; empty when it was started without
	Path     string   // of its URL, escaped; with SQL it names the database
	Query    string   // of its URL, encoded; only of a server that the launcher did not start
	Username string   // empty for the server's default user
	Password string   // empty when the server asks for none
	Secure   bool     // it speaks nothing but TLS
	Host     string   // the name in its certificate
	CA       []byte   // the certificate that clients trust, in PEM; nil for those that the system trusts

	// Certificate and Key, in PEM, are the client's own. Mutual says that the server asks for them.
	Certificate, Key []byte
	Mutual           bool
}

// URL returns the address in the form of the server's clients: redis://, amqp:// and nats://, or
// rediss://, amqps:// and tls:// with TLS, each with the name and the password when there are any. For
// SQS it is the endpoint, whose URL has no place for them. The forms of PostgreSQL and MariaDB, postgres://
// and mysql://, do not tell TLS.
func (s *Server) URL() string {
	plain, secure := s.Protocol.Schemes()
	u := url.URL{Scheme: plain, Host: s.Addr}
	if s.Secure {
		u.Scheme = secure
	}
	switch {
	case s.Protocol == SQS:
	case s.Password != "":
		u.User = url.UserPassword(s.Username, s.Password)
	case s.Username != "":
		u.User = url.User(s.Username)
	}
	text := u.String() + s.Path
	if s.Query != "" {
		text += "?" + s.Query
	}
	return text
}

// TLSConfig returns what a client needs, or nil when the server speaks plain TCP.
func (s *Server) TLSConfig() (*tls.Config, error) {
	if !s.Secure {
		return nil, nil
	}
	config := &tls.Config{ServerName: s.Host, MinVersion: tls.VersionTLS12}
	if s.CA != nil {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(s.CA) {
			return nil, errors.New("no certificate in the PEM of the authority")
		}
	}
	if s.Mutual {
		pair, err := tls.X509KeyPair(s.Certificate, s.Key)
		if err != nil {
			return nil, err
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return config, nil
}
