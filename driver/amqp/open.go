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

func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: schemes,
		Open: func(ctx context.Context, u *url.URL) (driver.Driver, error) {
			c, err := parse(u)
			if err != nil {
				return nil, err
			}
			h, err := c.open(ctx)
			if err != nil {
				return nil, err
			}
			if c.shape == shapePlain {
				return &Driver{h}, nil
			}
			return &PriorityDriver{h}, nil
		},
		Types: []driver.Driver{(*Driver)(nil), (*PriorityDriver)(nil)},
	})
}

// Open connects to the broker that the URL names. The package comment describes
// the URL. It returns when the broker answered and was found fit, or with an
// error: driver.ErrConfig if the URL is not valid, driver.ErrUnauthorized if the
// broker refuses the user or the vhost, driver.ErrUnsupported if it is too old.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	c, err := parseText(rawURL)
	if err != nil {
		return nil, err
	}
	if c.shape != shapePlain {
		return nil, invalid(fmt.Errorf("parameter priority=%s is for OpenPriority: a Driver has no priorities", c.shape))
	}
	h, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return &Driver{h}, nil
}

// OpenPriority is [Open] for queues with strict priorities: quorum queues, which
// need RabbitMQ 4.3, or by the parameter priority=classic classic queues, which
// are not replicated.
func OpenPriority(ctx context.Context, rawURL string) (*PriorityDriver, error) {
	c, err := parseText(rawURL)
	if err != nil {
		return nil, err
	}
	if c.shape == shapePlain {
		if c.shapeGiven {
			return nil, invalid(errors.New("parameter priority=none is for Open: a PriorityDriver needs quorum or classic"))
		}
		c.shape = shapeQuorum
	}
	h, err := c.open(ctx)
	if err != nil {
		return nil, err
	}
	return &PriorityDriver{h}, nil
}

func parseText(rawURL string) (*config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		var inner *url.Error // which repeats the whole URL, credentials included
		if errors.As(err, &inner) {
			err = inner.Err
		}
		return nil, invalid(err)
	}
	return parse(u)
}

// open connects both ways and checks the broker.
func (c *config) open(ctx context.Context) (*handle, error) {
	h := newHandle(c)
	l, err := h.sub.link(ctx)
	if err == nil {
		h.info, err = inspect(l.conn, c.shape)
		v, _ := parseVersion(h.info.Version)
		h.anew = c.shape != shapePlain
		h.counted = h.anew || v.before(minPriority)
		h.timeouts = c.shape != shapeClassic || v.before(minPriority)
	}
	if err == nil {
		_, err = h.publishOn(ctx)
	}
	if err != nil {
		_ = h.Close(ctx)
		return nil, fail("open", "", err)
	}
	return h, nil
}

// The oldest versions that have what the driver needs: quorum queues with a
// delivery limit that can be switched off, and strict priorities in them.
// https://www.rabbitmq.com/docs/quorum-queues
var (
	minVersion  = version{4, 0}
	minPriority = version{4, 3}
)

// inspect tells what a broker is, and whether it is fit.
func inspect(conn *amqp091.Connection, s shape) (driver.Info, error) {
	product, _ := conn.Properties["product"].(string)
	text, _ := conn.Properties["version"].(string)
	info := driver.Info{Driver: Name, Broker: product, Version: text, Limits: limits(conn.Config.FrameSize)}
	return info, fit(product, text, s)
}

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
	return &driver.Error{
		Driver: Name, Op: "open", Kind: driver.ErrUnsupported, Fate: driver.FateNotStored, Hint: hint,
		Err: fmt.Errorf("the broker is %s %s; %s need RabbitMQ %d.%d or newer", product, text, what, need.major, need.minor),
	}
}

type version struct{ major, minor int }

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
