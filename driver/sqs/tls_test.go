package sqs

import (
	"encoding/pem"
	"errors"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

// A server whose certificate a private authority signed is trusted by tls_ca or by
// AWS_CA_BUNDLE, and else refused with a word on both.
func TestPrivateAuthority(t *testing.T) {
	f := newFake()
	var server *httptest.Server
	endpoint, _ := f.serve(t, func(s *httptest.Server) { server = s; s.StartTLS() })
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(parameters url.Values) error {
		parameters.Set("endpoint", endpoint)
		d, err := Open(t.Context(), "sqs://key:secret@us-east-1/?"+parameters.Encode())
		if err == nil {
			closeAll(t, d)
		}
		return err
	}
	for range 2 {
		if err := open(url.Values{}); !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored || !strings.Contains(err.Error(), "tls_ca") {
			t.Errorf("without an authority: %v", err)
		}
	}
	if err := open(url.Values{"tls_ca": {ca}}); err != nil {
		t.Errorf("with tls_ca: %v", err)
	}
	if err := open(url.Values{"tls_ca": {ca}, "tls_server_name": {"other.test"}}); err == nil {
		t.Error("a certificate of another name was accepted")
	}
	if err := open(url.Values{"tls_ca": {"none"}}); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("with a file that is not there: %v", err)
	}
	t.Setenv("AWS_CA_BUNDLE", ca)
	if err := open(url.Values{}); err != nil {
		t.Errorf("with AWS_CA_BUNDLE: %v", err)
	}
	if err := open(url.Values{"tls_server_name": {"example.com"}}); err != nil {
		t.Errorf("with AWS_CA_BUNDLE and a name that the certificate has: %v", err)
	}
	if _, err := Open(t.Context(), "sqs://key:secret@us-east-1/?endpoint=http://127.0.0.1:1&tls_ca="+ca); !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), "tls_ca") {
		t.Errorf("tls_ca without TLS: %v", err)
	}
}
