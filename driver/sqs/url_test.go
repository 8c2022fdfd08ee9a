package sqs

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

func TestParse(t *testing.T) {
	for raw, want := range map[string]config{
		"sqs://eu-west-1":                          {region: "eu-west-1"},
		"sqs+fifo://eu-west-1/prod-":               {region: "eu-west-1", prefix: "prod-", fifo: true},
		"sqs:///prod-?profile=work":                {prefix: "prod-", profile: "work"},
		"sqs://k:s@r/?session_token=t":             {region: "r", key: "k", secret: "s", token: "t"},
		"sqs://r?endpoint=http://h:1&wait=20s":     {region: "r", endpoint: "http://h:1", wait: 20 * time.Second},
		"sqs://r?role_arn=a&external_id=e":         {region: "r", role: "a", externalID: "e"},
		"sqs://r?gather=250ms":                     {region: "r", gather: 250 * time.Millisecond},
		"sqs://r?retention=96h&max_message=262144": {region: "r", retention: 96 * time.Hour, maxMessage: 262144},
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseURL(u)
		if secure := want.endpoint == ""; secure != (got.tls != nil) {
			t.Errorf("%s: TLS is set up: %t", raw, !secure)
		}
		got.tls = nil
		if err != nil || got != want.withDefaults() {
			t.Errorf("%s: %+v, %v", raw, got, err)
		}
	}
	for _, raw := range []string{
		"sqs://r:80", "sqs://r/a/b", "sqs://r/a.b", "sqs://r#x", "sqs://key@r", "sqs://r?wait=0s", "sqs://r?wait=21s", "sqs://r?wait=1500ms", "sqs://r?gather=1001ms", "sqs://r?gather=-1ms",
		"sqs://r?retention=15h1ms", "sqs://r?retention=400h", "sqs://r?max_message=1000", "sqs://r?endpoint=host", "sqs://r?endpoint=http://u:p@h",
		"sqs://r?external_id=e", "sqs://r?session_token=t", "sqs://r?unknown=1", "redis://r",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseURL(u); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if _, err := Open(t.Context(), "sqs+fifo://r"); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("Open of a FIFO URL: %v", err)
	}
	if _, err := Open(t.Context(), "sqs://k:hu sh%zz@r"); !errors.Is(err, driver.ErrConfig) || strings.Contains(err.Error(), "hu") {
		t.Errorf("a URL that cannot be parsed: %v", err)
	}
}
