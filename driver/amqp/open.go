package amqp

import (
	"context"
	"errors"
	"fmt"
	"net/url"

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

// Open connects to the broker that the URL names and checks that it is fit; the
// package documentation has the URL's form. The error wraps driver.ErrConfig if the
// URL is not valid, driver.ErrUnauthorized if the broker refuses the user or the
// vhost, driver.ErrUnsupported if it is too old, and driver.ErrUnavailable if it
// cannot be reached. Open tries each address once and does not wait: a program that
// may start before the broker has to call Open again.
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
// need RabbitMQ 4.3, or with priority=classic in the URL classic queues, which are
// not replicated.
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
		b.consumers.limit(int(conn.client.Config.ChannelMax))
		err = check(b.info.Broker, b.info.Version, c.shape)
	}
	if err == nil {
		v, _ := parseVersion(b.info.Version)
		b.replacesReturned = c.shape != shapePlain
		b.replacesGivenBack = b.replacesReturned || v.before(oldestPriority)
		b.hasTimeout = c.shape != shapeClassic || v.before(oldestPriority)
		err = b.measure(ctx)
	}
	if err != nil {
		_ = b.Close(ctx)
		return nil, fail("open", "", err)
	}
	return b, nil
}

// measure opens the way to publish, and learns how large a frame may be there.
func (b *base) measure(ctx context.Context) error {
	p, err := b.livePublisher(ctx)
	if err != nil {
		return err
	}
	frame := p.conn.client.Config.FrameSize
	b.room, b.info.Limits = roomFor(frame), limitsFor(frame)
	return nil
}
