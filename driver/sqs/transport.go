package sqs

import (
	"bytes"
	"io"
	"net/http"

	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"
)

// steady is an HTTP client under the SDK's. The SDK closes a request's body as
// soon as there is an answer. If the goroutine that writes the request has not
// come to see the body's end by then, which happens on a busy machine with a near
// server, net/http takes that for a failed request and breaks the connection while
// a large answer is still being read: a poll would fail and its jobs rest until
// their visibility timeout. So the request is given a body that does not mind.
type steady struct{ awssqs.HTTPClient }

// Do sends a request with a body of its own.
func (s steady) Do(request *http.Request) (*http.Response, error) {
	if request.Body == nil || request.Body == http.NoBody {
		return s.HTTPClient.Do(request)
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
	return s.HTTPClient.Do(own)
}
