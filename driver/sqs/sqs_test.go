package sqs

import (
	"context"
	"net/url"
	"os"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

func TestMain(m *testing.M) { brokers.Main(m) }

// endpoint is the server to test against.
func endpoint(t testing.TB) string {
	t.Helper()
	if e := os.Getenv("BATCH_TEST_SQS_ENDPOINT"); e != "" {
		return e
	}
	return brokers.SQS(t).URL()
}

// testURL is a URL of the server, with the shortest poll.
func testURL(t testing.TB, scheme string) string {
	query := url.Values{"endpoint": {endpoint(t)}, "wait": {"1s"}}
	return scheme + "://test:test@us-east-1/?" + query.Encode()
}

var _ driver.Driver
var _ = context.Background
