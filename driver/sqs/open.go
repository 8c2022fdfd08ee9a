package sqs

import (
	"context"
	"errors"
	"net/url"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// init registers both drivers.
func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: []string{scheme, schemeFIFO},
		Open:    openURL,
		Types:   []driver.Driver{(*Driver)(nil), (*FIFODriver)(nil)},
	})
}

// Open connects to SQS as the URL says, for standard queues, and checks that SQS
// answers; the package documentation has the URL's form. It tries once: if SQS
// cannot be reached, it returns driver.ErrUnavailable and does not wait, so a
// program that may start before its server has to call Open again. Errors do not
// repeat the URL's secrets.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	c, err := parseRawURL(rawURL, false)
	if err != nil {
		return nil, err
	}
	d := &Driver{}
	if err := d.open(ctx, c); err != nil {
		return nil, err
	}
	return d, nil
}

// OpenFIFO is [Open] for FIFO queues; the URL's scheme is sqs+fifo.
func OpenFIFO(ctx context.Context, rawURL string) (*FIFODriver, error) {
	c, err := parseRawURL(rawURL, true)
	if err != nil {
		return nil, err
	}
	d := &FIFODriver{}
	if err := d.open(ctx, c); err != nil {
		return nil, err
	}
	return d, nil
}

// New makes a driver for standard queues that uses the caller's client, and checks
// that SQS answers as [Open] does. Close leaves the client as it is. Whatever
// retries the client is set to, the driver's own calls are not retried. Its HTTP
// client should keep 64 idle connections to a host; the SDK's default is 10.
func New(ctx context.Context, client *awssqs.Client, options Options) (*Driver, error) {
	d := &Driver{}
	if err := d.connect(ctx, client, options.config(false)); err != nil {
		return nil, err
	}
	return d, nil
}

// NewFIFO is [New] for FIFO queues.
func NewFIFO(ctx context.Context, client *awssqs.Client, options Options) (*FIFODriver, error) {
	d := &FIFODriver{}
	if err := d.connect(ctx, client, options.config(true)); err != nil {
		return nil, err
	}
	return d, nil
}

// parseRawURL reads the URL of one of the two drivers.
func parseRawURL(rawURL string, fifo bool) (config, error) {
	u, err := driver.ParseURL(Name, rawURL)
	if err != nil {
		return config{}, err
	}
	c, err := parseURL(u)
	if err == nil && c.fifo != fifo {
		err = invalid(errors.New("the URL's scheme is that of the other driver: sqs is for Open, sqs+fifo for OpenFIFO"))
	}
	return c, err
}

// openURL opens the driver that the URL's scheme says.
func openURL(ctx context.Context, u *url.URL) (driver.Driver, error) {
	c, err := parseURL(u)
	if err != nil {
		return nil, err
	}
	var d interface {
		driver.Driver
		open(context.Context, config) error
	} = &Driver{}
	if c.fifo {
		d = &FIFODriver{}
	}
	if err := d.open(ctx, c); err != nil {
		return nil, err
	}
	return d, nil
}

// open connects by a client of the driver's own.
func (b *base) open(ctx context.Context, c config) error {
	if err := ctx.Err(); err != nil {
		return fail("open", "", fault.NotSent{Err: err})
	}
	client, closeIdle, err := c.newSDKClient(ctx)
	if err != nil {
		return err
	}
	b.closeIdle = closeIdle
	err = b.connect(ctx, client, c.withoutSecrets())
	if err != nil {
		closeIdle()
	}
	return err
}

// connect fills in what the driver is made of, and checks that SQS answers.
func (b *base) connect(ctx context.Context, client *awssqs.Client, c config) error {
	if err := c.check(); err != nil {
		return invalid(err)
	}
	b.client = newClient(client)
	b.config = c
	b.info = driver.Info{Driver: Name, Broker: "Amazon SQS", Version: "API 2012-11-05", Limits: limitsFor(c.maxMessage)}
	if client.Options().BaseEndpoint != nil {
		// Something that speaks the protocol and does not tell what it is.
		b.info.Broker = "SQS-compatible server"
	}
	alive, end := context.WithCancelCause(context.Background())
	b.alive, b.cutOff = alive, func() { end(errCutOff) }
	return b.probe(ctx)
}

// probe asks for a queue that does not exist, to see that SQS answers and knows
// the credentials. A policy that names queues may deny that question: then the
// credentials are good, and what they may do shows with the first queue.
func (b *base) probe(ctx context.Context) error {
	ctx, end, err := b.begin(ctx, "open", "")
	if err != nil {
		return err
	}
	defer end()
	_, err = b.client.find(ctx, b.config.prefix[:min(len(b.config.prefix), 60)]+"batch-open")
	if err == nil {
		return nil
	}
	if errors.Is(faults.Verdict(err).Kind, driver.ErrNotFound) || isDenied(err) {
		return nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return faults.Refuse("open", "", driver.ErrUnavailable, err, "SQS did not answer in time")
	}
	return fail("open", "", fault.NotSent{Err: err}) // whatever it was, it stored nothing
}
