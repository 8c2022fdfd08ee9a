package sqs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// newSDKClient makes the SDK's client that a URL asks for. closeIdle closes its
// connections that are not in use.
func (c config) newSDKClient(ctx context.Context) (made *awssqs.Client, closeIdle func(), err error) {
	buildable := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = c.connections, c.connections
	})
	sdk, err := c.sdkConfig(ctx, buildable)
	if err != nil {
		return nil, nil, err
	}
	// That of AWS_CA_BUNDLE, if the chain put one there. A plain client, as its idle
	// connections can be closed: the buildable one clones its transport for itself.
	if own, ok := sdk.HTTPClient.(*awshttp.BuildableClient); ok {
		buildable = own
	}
	transport := buildable.GetTransport()
	c.trust(transport)
	watchConnections(transport)
	plain := &http.Client{
		Transport: transport,
		// As the SDK's own: a signed request must not be repeated elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	made = awssqs.NewFromConfig(sdk, func(o *awssqs.Options) { o.HTTPClient = unsentTeller{plain} })
	return made, transport.CloseIdleConnections, nil
}

// trust applies the URL's TLS parameters. Without tls_ca the authorities are those of
// AWS_CA_BUNDLE, or the system's.
func (c config) trust(transport *http.Transport) {
	if c.tls == nil {
		return
	}
	own := c.tls.Clone()
	if own.RootCAs == nil && transport.TLSClientConfig != nil {
		own.RootCAs = transport.TLSClientConfig.RootCAs
	}
	transport.TLSClientConfig = own
}

// sdkConfig asks the SDK's chain for what the URL leaves open: environment, shared
// config files, container and instance roles, in that order.
func (c config) sdkConfig(ctx context.Context, transport *awshttp.BuildableClient) (aws.Config, error) {
	options := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithHTTPClient(transport),
		awsconfig.WithLogger(logging.Nop{}), // else the chain and STS write to the standard error
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
	// Promptly, as it may look up the name of a container's credential server.
	sdk, err := promptly(ctx, func(ctx context.Context) (aws.Config, error) { return awsconfig.LoadDefaultConfig(ctx, options...) })
	if ctx.Err() != nil {
		return sdk, fail("open", "", fault.NotSent{Err: ctx.Err()})
	}
	if err != nil {
		return sdk, invalid(err)
	}
	if sdk.Region == "" {
		return sdk, faults.Refuse("open", "", driver.ErrConfig, errors.New("no region"),
			"give it in the URL, sqs://eu-west-1, or in AWS_REGION or the profile")
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

// newClient makes the driver's client of one that is set up, which it leaves as it
// is.
func newClient(c *awssqs.Client) client {
	return client{awssqs.New(c.Options(), func(o *awssqs.Options) {
		// The driver never tries again: the caller knows the deadline.
		o.Retryer = aws.NopRetryer{}
		o.Logger = logging.Nop{}                  // the errors say it
		o.DisableMessageChecksumValidation = true // answer.go has it
		o.HTTPClient = bodyCopier{o.HTTPClient}
		o.APIOptions = append(slices.Clone(o.APIOptions), func(s *middleware.Stack) error {
			return s.Initialize.Add(middleware.InitializeMiddlewareFunc("CutOff", tellCutOff), middleware.Before)
		})
		if o.Credentials != nil {
			o.Credentials = newCredentialsProvider(o.Credentials)
		}
	})}
}

// tellCutOff makes errCutOff of the error of a request that Close cut off: the SDK says
// that its context was canceled, which the caller's was not.
func tellCutOff(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
	out, metadata, err := next.HandleInitialize(ctx, in)
	if errors.Is(err, context.Canceled) && endOf(ctx) == errCutOff {
		if fault.IsNotSent(err) {
			return out, metadata, fault.NotSent{Err: errCutOff}
		}
		return out, metadata, errCutOff
	}
	return out, metadata, err
}

// credentialsProvider marks the errors of the SDK's credential chain, which have
// no type. It holds the chain by a function, which no print of it follows to the
// credentials.
type credentialsProvider struct {
	retrieve func(context.Context) (aws.Credentials, error)
}

// newCredentialsProvider puts the marks on what a chain returns.
func newCredentialsProvider(chain aws.CredentialsProvider) credentialsProvider {
	switch chain.(type) {
	case *aws.CredentialsCache, credentials.StaticCredentialsProvider:
		return credentialsProvider{chain.Retrieve}
	}
	return credentialsProvider{func(ctx context.Context) (aws.Credentials, error) { return promptly(ctx, chain.Retrieve) }}
}

// Retrieve is that of the chain. It returns when ctx ends, whatever the chain asks: a
// cache of the SDK does so by itself, and other providers may not.
func (p credentialsProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := p.retrieve(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		err = fault.NotSent{Err: ctx.Err()} // without a signature
	default:
		err = noCredentials{err}
	}
	return found, err
}

// promptly makes a call return when ctx ends. What it does then goes on without the
// caller.
func promptly[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	ended := make(chan result, 1)
	go func() {
		value, err := call(ctx)
		ended <- result{value, err}
	}()
	select {
	case r := <-ended:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// bodyCopier is an HTTP client under the SDK's. The SDK closes a request's body as
// soon as there is an answer. If the goroutine that writes the request has not
// come to see the body's end by then, which happens on a busy machine with a near
// server, net/http takes that for a failed request and breaks the connection while
// a large answer is still being read: a poll would fail and its jobs stay
// hidden until their visibility timeout ends. So the request is given a body that does not mind.
type bodyCopier struct{ awssqs.HTTPClient }

// Do sends a request with a body of its own.
func (c bodyCopier) Do(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return c.HTTPClient.Do(request)
	}
	buffer := bytes.NewBuffer(make([]byte, 0, max(request.ContentLength, 0)+bytes.MinRead))
	_, err := buffer.ReadFrom(request.Body)
	if err == nil {
		err = request.Body.Close()
	}
	if err != nil {
		return nil, err
	}
	own := request.WithContext(request.Context()) // a shallow copy
	// By GetBody net/http sends the request on another connection if the server had closed
	// an idle one before a byte was written.
	own.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buffer.Bytes())), nil }
	own.Body, err = own.GetBody()
	if err != nil {
		return nil, err
	}
	return c.HTTPClient.Do(own)
}
