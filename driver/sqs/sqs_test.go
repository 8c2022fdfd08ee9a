package sqs

import (
	"net/url"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// testURL is a URL of the test server, with the shortest poll.
func testURL(t testing.TB, scheme string) string {
	t.Helper()
	query := url.Values{"endpoint": {brokers.SQS(t).URL()}, "wait": {"1s"}}
	return scheme + "://test:test@us-east-1/?" + query.Encode()
}
