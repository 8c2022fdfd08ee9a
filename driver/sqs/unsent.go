package sqs

import (
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/batch-go/batch/internal/fault"
)

// unsentTeller is the HTTP client of a driver that was opened by a URL. It marks the
// errors of requests for which no connection could be made ready: net/http says only what
// was read instead of a TLS handshake.
type unsentTeller struct{ *http.Client }

// Do sends a request.
func (c unsentTeller) Do(request *http.Request) (*http.Response, error) {
	var waiting atomic.Bool // for a connection
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
		// It asks for a second one only if nothing was written to the first.
		GetConn: func(string) { waiting.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { waiting.Store(false) },
	})
	answer, err := c.Client.Do(request.WithContext(ctx))
	if err != nil && waiting.Load() {
		err = fault.NotSent{Err: err}
	}
	return answer, err
}
