package sqs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

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
	// A plain client, as its idle connections can be closed: the buildable one
	// clones its transport for itself.
	transport := buildable.GetTransport()
	plain := &http.Client{
		Transport: transport,
		// As the SDK's own: a signed request must not be repeated elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	made = awssqs.NewFromConfig(sdk, func(o *awssqs.Options) { o.HTTPClient = plain })
	return made, transport.CloseIdleConnections, nil
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
	sdk, err := awsconfig.LoadDefaultConfig(ctx, options...)
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
		if o.Credentials != nil {
			o.Credentials = newCredentialsProvider(o.Credentials)
		}
	})}
}

// credentialsProvider marks the errors of the SDK's credential chain, which have
// no type. It holds the chain by a function, which no print of it follows to the
// credentials.
type credentialsProvider struct {
	retrieve func(context.Context) (aws.Credentials, error)
}

// newCredentialsProvider puts the marks on what a chain returns.
func newCredentialsProvider(chain aws.CredentialsProvider) credentialsProvider {
	return credentialsProvider{chain.Retrieve}
}

// Retrieve is that of the chain.
func (p credentialsProvider) Retrieve(ctx context.Context) (aws.Credentials, error) {
	found, err := p.retrieve(ctx)
	if err != nil && ctx.Err() == nil {
		err = noCredentials{err}
	}
	return found, err
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
	own.Body = io.NopCloser(bytes.NewReader(buffer.Bytes()))
	return c.HTTPClient.Do(own)
}
