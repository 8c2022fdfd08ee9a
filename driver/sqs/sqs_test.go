package sqs

import (
	"context"
	"net/url"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/batch-go/batch/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is how long a test waits for what should come at once.
const bound = 10 * time.Second

// endpoint is the server to test against.
func endpoint(t testing.TB) string {
	t.Helper()
	if e := os.Getenv("BATCH_TEST_SQS_ENDPOINT"); e != "" {
		return e
	}
	t.Fatal("BATCH_TEST_SQS_ENDPOINT is not set, for example to http://127.0.0.1:4567")
	return ""
}

// testURL is a URL of the server, with the shortest poll.
func testURL(t testing.TB, scheme string) string {
	query := url.Values{"endpoint": {endpoint(t)}, "wait": {"1s"}}
	return scheme + "://test:test@us-east-1/?" + query.Encode()
}

var _ driver.Driver
var _ = context.Background
