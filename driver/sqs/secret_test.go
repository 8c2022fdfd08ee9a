package sqs

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/secret"
)

// Nothing shows the credentials of a driver that was opened by a URL, or that has a
// client with credentials of its own.
func TestCredentialsAreHidden(t *testing.T) {
	secrets := append(slices.Clone(secrets), "Jd8externalVb3")
	closed, err := Open(t.Context(), "sqs://key:"+secrets[0]+"@us-east-1/?"+url.Values{
		"endpoint": {"http://127.0.0.1:1"}, "session_token": {secrets[1]}, "role_arn": {"arn:aws:iam::1:role/r"}, "external_id": {secrets[2]},
	}.Encode())
	if err == nil || closed != nil {
		t.Fatal("opened without a server")
	}
	f := newFake()
	options := f.client().Options()
	options.Credentials = credentials.NewStaticCredentialsProvider("key", secrets[0], secrets[1])
	d, err2 := New(t.Context(), awssqs.New(options), Options{})
	if err2 != nil {
		t.Fatal(err2)
	}
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	put(t, d, job("a", 0))
	c := consume(t, d, minLease)
	got := receive(t, c)
	if text := fmt.Sprintf("%v %s", d, d); text != "sqs driver sqs driver" {
		t.Errorf("a driver is printed as %q", text)
	}
	closeAll(t, d)
	b := &Driver{}
	withSecrets := config{region: "us-east-1", key: "key", secret: secrets[0], token: secrets[1], endpoint: "http://127.0.0.1:1"}.withDefaults()
	_ = b.open(context.Background(), withSecrets)
	for _, value := range []any{err, d, c, got, got.Receipt, d.Info(), driver.Driver(d), b, &b.base} {
		for _, found := range secret.Find(value, secrets...) {
			t.Error(found)
		}
	}
}
