package amqp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"github.com/batch-go/batch/driver"
)

// init registers both drivers.
func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: []string{Name, schemeTLS},
		Open:    openURL,
		Types:   []driver.Driver{(*Driver)(nil), (*PriorityDriver)(nil)},
	})
}

// openURL is the driver.Opener: the URL tells which of the two types it opens.
func openURL(ctx context.Context, u *url.URL) (driver.Driver, error) {
	c, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	b, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	if c.shape == shapePlain {
		return &Driver{b}, nil
	}
	return &PriorityDriver{b}, nil
}

// Open connects to the broker that the URL names. The package comment describes
// the URL. It returns when the broker answered and was found fit, or with an
// error: driver.ErrConfig if the URL is not valid, driver.ErrUnauthorized if the
// broker refuses the user or the vhost, driver.ErrUnsupported if it is too old.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	c, err := parseRawURL(rawURL)
	if err != nil {
		return nil, err
	}
	if c.shape != shapePlain {
		return nil, invalid(fmt.Errorf("parameter priority=%s is for OpenPriority: a Driver has no priorities", c.shape))
	}
	b, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return &Driver{b}, nil
}

// OpenPriority is [Open] for queues with strict priorities: quorum queues, which
// need RabbitMQ 4.3, or by the parameter priority=classic classic queues, which
// are not replicated.
func OpenPriority(ctx context.Context, rawURL string) (*PriorityDriver, error) {
	c, err := parseRawURL(rawURL)
	if err != nil {
		return nil, err
	}
	if c.shape == shapePlain {
		if c.shapeGiven {
			return nil, invalid(errors.New("parameter priority=none is for Open: a PriorityDriver needs quorum or classic"))
		}
		c.shape = shapeQuorum
	}
	b, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return &PriorityDriver{b}, nil
}

// parseRawURL is parseURL for the text of a URL.
func parseRawURL(rawURL string) (*config, error) {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return nil, err
	}
	return parseURL(u)
}

// open connects both ways and checks the broker.
func (c *config) open(ctx context.Context) (*base, error) {
	b := newBase(c)
	conn, err := b.consuming.connection(ctx)
	if err == nil {
		b.info = infoOf(conn.client)
		err = fit(b.info.Broker, b.info.Version, c.shape)
	}
	if err == nil {
		v, _ := parseVersion(b.info.Version)
		b.replacesReturned = c.shape != shapePlain
		b.replacesUnread = b.replacesReturned || v.before(minPriority)
		b.hasTimeout = c.shape != shapeClassic || v.before(minPriority)
		_, err = b.livePublisher(ctx)
	}
	if err != nil {
		_ = b.Close(ctx)
		return nil, fail("open", "", err)
	}
	return b, nil
}

// infoOf is what the broker says of itself.
func infoOf(client *amqp091.Connection) driver.Info {
	product, _ := client.Properties["product"].(string)
	version, _ := client.Properties["version"].(string)
	return driver.Info{Driver: Name, Broker: product, Version: version, Limits: limitsFor(client.Config.FrameSize)}
}

// The oldest versions that have what the driver needs: quorum queues with a
// delivery limit that can be switched off, and strict priorities in them.
// https://www.rabbitmq.com/docs/quorum-queues
var (
	minVersion  = version{4, 0}
	minPriority = version{4, 3}
)

// fit tells why a broker is not fit, if it is not.
func fit(product, text string, s shape) error {
	need, what := minVersion, "quorum queues without a delivery limit"
	if s == shapeQuorum {
		need, what = minPriority, "strict priorities in quorum queues"
	}
	v, ok := parseVersion(text)
	if product == "RabbitMQ" && ok && !v.before(need) {
		return nil
	}
	hint := ""
	if s == shapeQuorum && product == "RabbitMQ" && ok && !v.before(minVersion) {
		hint = "priority=classic uses classic queues, which every version orders by priority, but does not replicate"
	}
	err := fmt.Errorf("the broker is %s %s; %s need RabbitMQ %d.%d or newer", product, text, what, need.major, need.minor)
	return faults.Refuse("open", "", driver.ErrUnsupported, err, hint)
}

// version is a version of RabbitMQ.
type version struct{ major, minor int }

// before tells whether v is older than w.
func (v version) before(w version) bool {
	return v.major < w.major || v.major == w.major && v.minor < w.minor
}

// parseVersion reads the first two numbers of "4.3.6" or "4.4.0-beta.1".
func parseVersion(text string) (version, bool) {
	major, rest, _ := strings.Cut(text, ".")
	minor, _, _ := strings.Cut(rest, ".")
	minor, _, _ = strings.Cut(minor, "-")
	a, err := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	return version{a, b}, err == nil && err2 == nil
}
