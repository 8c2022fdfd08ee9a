package sqs

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/batch-go/batch/driver"
)

func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: []string{scheme, schemeFIFO},
		Open:    openURL,
		Types:   []driver.Driver{(*Driver)(nil), (*FIFODriver)(nil)},
	})
}

// Options are what a driver on a client of the caller's own is made with. The
// zero value is the default of each.
type Options struct {
	// Prefix begins the names of all queues: [A-Za-z0-9_-], short enough for
	// them to stay within SQS's 80 characters.
	Prefix string
	// Wait is how long a poll waits for jobs: 1 s to 20 s in whole seconds.
	// Defaults to 4 s.
	Wait time.Duration
	// Retention is how long SQS keeps what nobody receives, dead letters
	// included: 1 h to 14 days in whole seconds. Defaults to 14 days.
	Retention time.Duration
	// MaxMessage is the size of the largest message in bytes, 131072 to 1048576.
	// Defaults to 1048576. Smaller ones are for servers that take no more.
	MaxMessage int
}

func (o Options) config(fifo bool) config {
	return config{fifo: fifo, prefix: o.Prefix, wait: o.Wait, retention: o.Retention, maxMessage: o.MaxMessage}.withDefaults()
}

// Open connects to SQS as the URL says, for standard queues; the package
// documentation has the URL's form. It returns when SQS has answered or ctx
// ended. Errors do not repeat the URL's secrets.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	c, err := parseRaw(rawURL, false)
	if err != nil {
		return nil, err
	}
	d := &Driver{}
	return d, d.open(ctx, c)
}

// OpenFIFO is [Open] for FIFO queues; the URL's scheme is sqs+fifo.
func OpenFIFO(ctx context.Context, rawURL string) (*FIFODriver, error) {
	c, err := parseRaw(rawURL, true)
	if err != nil {
		return nil, err
	}
	d := &FIFODriver{}
	return d, d.open(ctx, c)
}

// New makes a driver for standard queues on a client that the caller has, checks
// that SQS answers, and leaves the client as it is on Close. Whatever retries it
// is set to, the driver's own calls are not retried. Its HTTP client should keep
// 64 idle connections to a host; the SDK's default is 10.
func New(ctx context.Context, client *awssqs.Client, options Options) (*Driver, error) {
	d := &Driver{}
	return d, d.use(ctx, client, options.config(false))
}

// NewFIFO is [New] for FIFO queues.
func NewFIFO(ctx context.Context, client *awssqs.Client, options Options) (*FIFODriver, error) {
	d := &FIFODriver{}
	return d, d.use(ctx, client, options.config(true))
}

func parseRaw(rawURL string, fifo bool) (config, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error repeats the URL, or a part of it that may be the secret.
		return config{}, invalid(errors.New("the URL cannot be parsed; a secret must be escaped for URLs"))
	}
	c, err := parse(u)
	if err == nil && c.fifo != fifo {
		err = invalid(errors.New("the URL's scheme is that of the other driver: sqs is for Open, sqs+fifo for OpenFIFO"))
	}
	return c, err
}

func openURL(ctx context.Context, u *url.URL) (driver.Driver, error) {
	c, err := parse(u)
	if err != nil {
		return nil, err
	}
	if c.fifo {
		d := &FIFODriver{}
		if err := d.open(ctx, c); err != nil {
			return nil, err
		}
		return d, nil
	}
	d := &Driver{}
	if err := d.open(ctx, c); err != nil {
		return nil, err
	}
	return d, nil
}

// open makes a client as the configuration says and uses it.
func (b *base) open(ctx context.Context, c config) error {
	if err := ctx.Err(); err != nil {
		return fail("open", "", notSent{err})
	}
	c = c.withDefaults()
	transport := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = c.connections, c.connections
	})
	sdk, err := c.load(ctx, transport)
	if err != nil {
		return err
	}
	client := awssqs.NewFromConfig(sdk, func(o *awssqs.Options) { o.HTTPClient = b.plain(transport) })
	if err := b.use(ctx, client, c); err != nil {
		b.idle()
		return err
	}
	return nil
}

// plain turns the buildable client into a plain one, whose idle connections can
// be closed: the buildable one clones its transport for itself.
func (b *base) plain(transport *awshttp.BuildableClient) *http.Client {
	t := transport.GetTransport()
	b.idle = t.CloseIdleConnections
	return &http.Client{
		Transport: t,
		// As the SDK's own: a signed request must not be repeated elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// load asks the SDK's chain for what the URL leaves open: environment, shared
// config files, container and instance roles, in that order.
func (c config) load(ctx context.Context, transport *awshttp.BuildableClient) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(transport),
		awsconfig.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if c.region != "" {
		options = append(options, awsconfig.WithRegion(c.region))
	}
	if c.profile != "" {
		options = append(options, awsconfig.WithSharedConfigProfile(c.profile))
	}
	if c.key != "" {
		options = append(options, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.key, c.secret, c.token)))
	}
	sdk, err := awsconfig.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return sdk, invalid(err)
	}
	if sdk.Region == "" {
		return sdk, &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrConfig, Fate: driver.FateNotStored,
			Err: errors.New("no region"), Hint: "give it in the URL, sqs://eu-west-1, or in AWS_REGION or the profile"}
	}
	if c.role != "" {
		provider := stscreds.NewAssumeRoleProvider(sts.NewFromConfig(sdk), c.role, func(o *stscreds.AssumeRoleOptions) {
			if c.externalID != "" {
				o.ExternalID = aws.String(c.externalID)
			}
			if c.sessionName != "" {
				o.RoleSessionName = c.sessionName
			}
		})
		sdk.Credentials = aws.NewCredentialsCache(provider)
	}
	if c.endpoint != "" {
		// After the role: the endpoint is that of SQS and not of STS.
		sdk.BaseEndpoint = aws.String(c.endpoint)
	}
	return sdk, nil
}

// chain marks the errors of the SDK's credential chain, which have no type.
type chain struct{ aws.CredentialsProvider }

// Retrieve is that of the chain.
func (c chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = noCredentials{err}
	}
	return found, err
}

// use takes the client into use once SQS has answered.
func (b *base) use(ctx context.Context, client *awssqs.Client, c config) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.prefix != "" {
		if err := checkName(c.prefix); err != nil {
			return invalid(err)
		}
	}
	b.client = awssqs.New(client.Options(), func(o *awssqs.Options) {
		// The driver never tries again: who calls knows the deadline.
		o.Retryer = aws.NopRetryer{}
		o.Logger = logging.Nop{} // whatever it has to say is in the errors
		o.HTTPClient = steady{o.HTTPClient}
		if o.Credentials != nil {
			o.Credentials = chain{o.Credentials}
		}
	})
	b.config = c
	b.info = driver.Info{Driver: Name, Broker: "Amazon SQS", Version: "API 2012-11-05", Limits: limitsFor(c.maxMessage)}
	if client.Options().BaseEndpoint != nil {
		// Something that speaks the protocol and does not tell what it is.
		b.info.Broker = "SQS-compatible server"
	}
	b.setup()
	return b.greet(ctx)
}

// greet asks for a queue that does not exist, to see that SQS answers and knows
// the credentials. A policy that names queues may deny that question: then the
// credentials are good, and what they may do shows with the first queue.
func (b *base) greet(ctx context.Context) error {
	ctx, leave, err := b.enter(ctx, "open", "")
	if err != nil {
		return err
	}
	defer leave()
	_, err = b.client.GetQueueUrl(ctx, &awssqs.GetQueueUrlInput{QueueName: aws.String(b.config.prefix[:min(len(b.config.prefix), 60)] + "batch-open")})
	v := verdict{}
	if err != nil {
		v = classify(err)
	}
	if err == nil || errors.Is(v.kind, driver.ErrNotFound) || v.hint == hintPermission {
		return nil
	}
	failed := fail("open", "", err).(*driver.Error)
	failed.Fate = driver.FateNotStored // whatever it was, it stored nothing
	if errors.Is(err, context.DeadlineExceeded) {
		failed.Kind, failed.Err, failed.Hint = driver.ErrUnavailable, err, "SQS did not answer in time"
	}
	return failed
}
