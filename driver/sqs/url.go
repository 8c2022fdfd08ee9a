package sqs

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// The schemes of the two drivers.
const (
	scheme     = "sqs"
	schemeFIFO = "sqs+fifo"
)

// config is what a URL says.
type config struct {
	fifo       bool
	region     string
	prefix     string
	endpoint   string
	profile    string
	wait       time.Duration
	gather     time.Duration
	retention  time.Duration
	maxMessage int
	// connections is how many idle ones are kept.
	connections int
	// tls is for connections to SQS; nil if the URL does not say, or they are not secure.
	tls *tls.Config

	key, secret, token            string
	role, externalID, sessionName string
}

// Defaults and bounds of the parameters.
const (
	// defaultWait is shorter than the time that a worker gives its consumers to
	// stop, so that a poll ends by itself then and swallows no job. An
	// idle consumer makes a request each time it passes: 650 000 a month, some
	// 0.26 dollars. Twenty seconds, SQS's longest, would save 0.20 of them.
	defaultWait = 4 * time.Second
	maxWait     = 20 * time.Second

	// maxGather is as long as a job that no Receive was there for may wait.
	maxGather = time.Second

	// maxRetention is the longest that SQS has:
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
	maxRetention = 14 * 24 * time.Hour

	// maxMessage is the largest that SQS takes, attributes included.
	maxMessage = 1 << 20
	minMessage = 128 << 10

	defaultConnections = 64
)

// withDefaults fills in what is zero.
func (c config) withDefaults() config {
	if c.wait == 0 {
		c.wait = defaultWait
	}
	if c.retention == 0 {
		c.retention = maxRetention
	}
	if c.maxMessage == 0 {
		c.maxMessage = maxMessage
	}
	if c.connections == 0 {
		c.connections = defaultConnections
	}
	return c
}

// withoutSecrets is c for those who do not sign requests.
func (c config) withoutSecrets() config {
	c.key, c.secret, c.token, c.externalID, c.tls = "", "", "", "", nil
	return c
}

// parseURL reads a URL as doc.go documents it. No error repeats a credential.
func parseURL(u *url.URL) (config, error) {
	p := driver.NewParams(Name, u)
	c := config{fifo: u.Scheme == schemeFIFO, region: u.Hostname(), prefix: strings.TrimPrefix(u.Path, "/"), key: u.User.Username()}
	c.secret, _ = u.User.Password()
	c.endpoint = p.String("endpoint", "")
	c.profile = p.String("profile", "")
	c.role = p.String("role_arn", "")
	c.externalID = p.String("external_id", "")
	c.sessionName = p.String("role_session", "")
	c.token = p.String("session_token", "")
	c.wait = p.Duration("wait", defaultWait, time.Second, maxWait)
	c.gather = p.Duration("gather", 0, 0, maxGather)
	c.retention = p.Duration("retention", maxRetention, time.Hour, maxRetention)
	c.maxMessage = p.Int("max_message", maxMessage, minMessage, maxMessage)
	c.connections = p.Int("connections", defaultConnections, 2, 10000)

	if u.Scheme != scheme && u.Scheme != schemeFIFO {
		p.Refuse("the scheme %q is none of %s, %s", u.Scheme, scheme, schemeFIFO)
	}
	if u.Opaque != "" || u.Fragment != "" {
		p.Refuse("the URL does not have the form %s://region/prefix", u.Scheme)
	}
	if u.Port() != "" {
		p.Refuse("the host is the region, which has no port; another server is given by the parameter endpoint")
	}
	if (c.key == "") != (c.secret == "") {
		p.Refuse("an access key and its secret need each other")
	}
	if e, err := url.Parse(c.endpoint); c.endpoint != "" && (err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || e.User != nil) {
		p.Refuse("the parameter endpoint is not of the form https://host:port")
	}
	if !strings.HasPrefix(c.endpoint, "http:") {
		c.tls = p.TLS("")
	}
	if c.role == "" && (c.externalID != "" || c.sessionName != "") {
		p.Refuse("external_id and role_session need role_arn")
	}
	if c.token != "" && c.key == "" {
		p.Refuse("session_token needs an access key and its secret")
	}
	if err := c.check(); err != nil {
		p.Refuse("%w", err)
	}
	return c, p.Err()
}

// check refuses what SQS would.
func (c config) check() error {
	if c.prefix != "" {
		if err := checkName(c.prefix); err != nil {
			return fmt.Errorf("the prefix: %w", err)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"wait", c.wait}, {"retention", c.retention}} {
		if d.value%time.Second != 0 {
			return fmt.Errorf("parameter %s=%s is not in whole seconds", d.name, d.value)
		}
	}
	if c.wait < time.Second || c.wait > maxWait {
		return fmt.Errorf("a wait of %s is not between 1s and %s", c.wait, maxWait)
	}
	if c.gather < 0 || c.gather > maxGather {
		return fmt.Errorf("a gather of %s is not between 0s and %s", c.gather, maxGather)
	}
	if c.retention < time.Hour || c.retention > maxRetention {
		return fmt.Errorf("a retention of %s is not between 1h and %s", c.retention, maxRetention)
	}
	if c.maxMessage < minMessage || c.maxMessage > maxMessage {
		return fmt.Errorf("a largest message of %d bytes is not between %d and %d", c.maxMessage, minMessage, maxMessage)
	}
	return nil
}
