// Package config reads the service's configuration from its environment.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"
)

// What the manifests and the program agree on.
const (
	// Address is where the API listens by default, and OpsAddress where every process answers probes and scrapes. They
	// are two, so that the outside world gets the first one only.
	Address    = ":8080"
	OpsAddress = ":8081"
	// StopTimeout is how long what has begun may take to end, by default: jobs, and requests.
	StopTimeout = 25 * time.Second
	// CloseTimeout is how long each step may take that comes after that: to close the connection to the broker, and to
	// send the last traces.
	CloseTimeout = 5 * time.Second
	// These are the paths at OpsAddress: for probes, for Prometheus, and for the autoscaler, who asks the API.
	LivePath    = "/livez"
	ReadyPath   = "/readyz"
	MetricsPath = "/metrics"
	ScalePath   = "/scale"
)

// Roles are what a process can be called as.
var Roles = []string{"api", "worker", "scheduler", "all"}

// Config is the configuration of one process.
type Config struct {
	// BatchURL names the broker.
	BatchURL string
	// Address and OpsAddress are where it listens.
	Address, OpsAddress string
	// Concurrency is how many mails the worker sends at the same time.
	Concurrency int
	// StopTimeout is as the constant of that name.
	StopTimeout time.Duration
	// BrokerPatience is how long the broker may be silent before a worker counts as not ready, or a process that starts
	// gives up.
	BrokerPatience time.Duration
	// MailURL is where mails go. If it is empty they are written to the log.
	MailURL string
	// ViewerPassword and AdminPassword open the dashboard for the users viewer and admin, of whom the second may change
	// something. A user without a password cannot come in.
	ViewerPassword, AdminPassword string
	// TracesURL is the OpenTelemetry collector. If it is empty there are no traces.
	TracesURL string
	// LogLevel is what is logged.
	LogLevel slog.Level
}

// Grace is how long the process may take to end after SIGTERM. What kills it must wait for longer.
func (c Config) Grace() time.Duration { return c.StopTimeout + 2*CloseTimeout }

// A Variable is one of the environment that the service reads.
type Variable struct {
	Name string
	// Default is its value if it is not set, or empty.
	Default string
	// About says what it is.
	About string
	set   func(c *Config, value string) error
}

// Variables are all that the service reads.
func Variables() []Variable {
	return []Variable{
		{"BATCH_URL", "", "the broker, such as redis://localhost:6379; required", func(c *Config, v string) error {
			if v == "" {
				return errors.New("is not set: want the broker's URL, such as redis://localhost:6379")
			}
			c.BatchURL = v
			return nil
		}},
		{"ADDRESS", Address, "where the API listens", func(c *Config, v string) error { return address(&c.Address, v) }},
		{"OPS_ADDRESS", OpsAddress, "where probes and metrics are", func(c *Config, v string) error { return address(&c.OpsAddress, v) }},
		{"CONCURRENCY", "20", "how many mails a worker sends at the same time", func(c *Config, v string) (err error) {
			if c.Concurrency, err = strconv.Atoi(v); err != nil || c.Concurrency < 1 || c.Concurrency > 10_000 {
				return fmt.Errorf("is %q: want a number from 1 to 10000", v)
			}
			return nil
		}},
		{"STOP_TIMEOUT", StopTimeout.String(), "how long jobs and requests may take to end after SIGTERM", func(c *Config, v string) error { return duration(&c.StopTimeout, v) }},
		{"BROKER_PATIENCE", "30s", "how long the broker may be silent before a worker is not ready, or a process that starts gives up", func(c *Config, v string) error { return duration(&c.BrokerPatience, v) }},
		{"MAIL_URL", "", "where mails are posted to; without it they are written to the log", func(c *Config, v string) error { return web(&c.MailURL, v) }},
		{"VIEWER_PASSWORD", "", "lets the user viewer look at the dashboard", func(c *Config, v string) error { c.ViewerPassword = v; return nil }},
		{"ADMIN_PASSWORD", "", "lets the user admin look at the dashboard, and redrive and delete jobs", func(c *Config, v string) error { c.AdminPassword = v; return nil }},
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "", "the OpenTelemetry collector, such as http://localhost:4318; without it there are no traces", func(c *Config, v string) error { return web(&c.TracesURL, v) }},
		{"LOG_LEVEL", "INFO", "DEBUG, INFO, WARN or ERROR", func(c *Config, v string) error {
			if err := c.LogLevel.UnmarshalText([]byte(v)); err != nil {
				return fmt.Errorf("is %q: want DEBUG, INFO, WARN or ERROR", v)
			}
			return nil
		}},
	}
}

// Load reads the configuration. The error names each variable that is wrong, and says what it has to be.
func Load(getenv func(string) string) (c Config, err error) {
	var errs []error
	for _, v := range Variables() {
		value := getenv(v.Name)
		if value == "" {
			value = v.Default
		}
		if err := v.set(&c, value); err != nil {
			errs = append(errs, fmt.Errorf("%s %w", v.Name, err))
		}
	}
	return c, errors.Join(errs...)
}

// address takes what net.Listen takes.
func address(to *string, value string) error {
	*to = value
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("is %q: want host:port or :port, such as :8080", value)
	}
	return nil
}

// duration takes what time.ParseDuration takes, within the bounds of batch.
func duration(to *time.Duration, value string) (err error) {
	if *to, err = time.ParseDuration(value); err != nil || *to < time.Second || *to > time.Hour {
		return fmt.Errorf("is %q: want a duration from 1s to 1h, such as 25s", value)
	}
	return nil
}

// web takes an address of HTTP, or nothing. What is wrong is not shown, as it may have a password.
func web(to *string, value string) error {
	if *to = value; value == "" {
		return nil
	}
	if u, err := url.Parse(value); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("is no URL of HTTP: want one such as http://localhost:4318")
	}
	return nil
}
