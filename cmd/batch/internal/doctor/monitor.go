package doctor

import (
	"context"
	"net/url"
	"strings"
)

// monitor looks at what the broker tells beside its protocol, where it has such a thing.
func (x *examination) monitor(ctx context.Context, queues []string) {
	u, err := url.Parse(x.URL)
	if err != nil {
		return // the driver has its own opinion of it
	}
	switch x.driver.Info().Driver {
	case "amqp":
		at := "http://:15672"
		if u.Scheme == "amqps" {
			at = "https://:15671" // credentials that came encrypted are not sent in the clear
		}
		x.rabbitMQ(ctx, x.source(u, at), vhostOf(u), queues)
	case "nats":
		x.nats(ctx, x.source(u, "http://:8222"))
	}
}

// vhostOf is the vhost that a URL of RabbitMQ names.
func vhostOf(u *url.URL) string {
	path, err := url.PathUnescape(strings.TrimPrefix(u.EscapedPath(), "/"))
	if err != nil || path == "" {
		return "/"
	}
	return path
}
