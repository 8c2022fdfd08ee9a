package dash

import (
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/batch-go/batch"
)

// Config configures a [Handler]. A field that is zero has its default; one that is out of bounds is refused.
type Config struct {
	// Queues are the queues to show, and no others. If it is empty, they are those that the driver lists, which is asked
	// again every 15 s, or more rarely if that takes long. On a broker that cannot list its queues, as RabbitMQ, they must be named.
	Queues []string
	// Authorizer decides who may do what. If it is nil, the pages only show: nobody may change anything.
	Authorizer Authorizer
	// ShowBodies shows the bodies and headers of jobs, which may hold what is nobody's business. The Authorizer, if there
	// is one, is asked for each with [ActionReadBody]. Without ShowBodies no body is shown, nor can one be edited.
	ShowBodies bool
	// Interval is how often the broker is asked for the depths of the queues, and how often a page renews itself: a
	// second to an hour. Defaults to 5 s. After ten minutes in which nobody looked, it is a minute until somebody does.
	Interval time.Duration
	// Timeout bounds what one page waits for of the broker: 100 ms to a minute. Defaults to 10 s.
	Timeout time.Duration
	// ActionTimeout bounds one action: a second to an hour. Defaults to a minute. An action that is not done by then ends
	// with a part done, and says so. It does not end with the request: a closed tab leaves nothing half done.
	ActionTimeout time.Duration
	// TrustedOrigins are other origins that may send actions, as in "https://ops.example.com": for a proxy that changes the
	// Host of requests, for browsers that do not send Sec-Fetch-Site. See [http.CrossOriginProtection].
	TrustedOrigins []string
	// Logger gets a line for each action, with the context of its request, and for each that was refused. Defaults to
	// [slog.Default].
	Logger *slog.Logger
}

// complete sets defaults and checks every bound.
func (c *Config) complete() error {
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	for _, d := range []struct {
		field           string
		value           *time.Duration
		fallback        time.Duration
		least, greatest time.Duration
	}{
		{"Interval", &c.Interval, 5 * time.Second, time.Second, time.Hour},
		{"Timeout", &c.Timeout, 10 * time.Second, 100 * time.Millisecond, time.Minute},
		{"ActionTimeout", &c.ActionTimeout, time.Minute, time.Second, time.Hour},
	} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
		if *d.value < d.least || *d.value > d.greatest {
			return &batch.InvalidError{Field: d.field, Value: d.value.String(), Bound: fmt.Sprintf("%s to %s", d.least, d.greatest)}
		}
	}
	for _, origin := range c.TrustedOrigins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme == "" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			return &batch.InvalidError{Field: "TrustedOrigins", Value: fmt.Sprintf("%q", origin), Bound: "an origin as in https://host:port"}
		}
	}
	return nil
}
