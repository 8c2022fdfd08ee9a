package driver_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

// params reads the query of raw.
func params(t *testing.T, raw string) (*driver.Params, *url.URL) {
	t.Helper()
	u, err := driver.ParseURL("acme", raw)
	if err != nil {
		t.Fatal(err)
	}
	return driver.NewParams("acme", u), u
}

// secrets are passwords with a word that no error may have, in all forms that are not
// escaped as they should be. The word is one that could be a host, a parameter or a
// path.
var secrets = []string{
	"hushhush", "hush/hush", "hush?hush", "hush#hush", "12/hush", "12?hush", "12#hush", "12?hush&hush", "12?hush=1&a=hush", "12/hush?hush#hush",
	"hush%zz", "hush%", "hush\x00", "hush:1:2", "hush@", "@hush", "hu@hush/x", "[hush", "hush]", "hush hush", "12?a=%hu", "12/%hu", "hush\n", "//hush", "12//hush@x/",
}

// TestParseURLRepeatsNoPassword opens URLs in which a password is not escaped.
func TestParseURLRepeatsNoPassword(t *testing.T) {
	for _, secret := range secrets {
		for _, form := range []string{"acme://u:%s@h", "acme://u:%s@h:1/path?a=1", "acme://%s@h", "acme:u:%s@h", "u:%s@h", "%s@h", "://u:%s@h", "acme://u:%s@h:port", "acme://h/%s@x", "acme://h?a=u:%s@x"} {
			raw := strings.Replace(form, "%s", secret, 1)
			u, err := driver.ParseURL("acme", raw)
			if err == nil {
				p := driver.NewParams("acme", u)
				p.Addrs("99", u.Host)
				p.Int("a", 0, 0, 1)
				err = p.Err()
				for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
					if text := fmt.Sprintf(verb, p) + fmt.Sprintf(verb, *p); strings.Contains(text, "hush") || strings.Contains(text, "68757368") {
						t.Errorf("%q: %s prints %s", raw, verb, text)
					}
				}
			}
			if err != nil && (!errors.Is(err, driver.ErrConfig) || strings.Contains(err.Error(), "hu")) {
				t.Errorf("%q: %v", raw, err)
			}
		}
	}
}

// An @ that is meant is escaped.
func TestParseURLWithAt(t *testing.T) {
	for raw, fit := range map[string]bool{
		"acme://u:p@h/a%40b?c=d%40e": true, "acme://u%40x:p%40q@h": true, "acme://h/a@b": false, "acme://h?a=b@c": false, "acme://h#@": false, "acme:a@b": false,
	} {
		if _, err := driver.ParseURL("acme", raw); (err == nil) != fit {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestAddrs(t *testing.T) {
	for raw, want := range map[string][]string{
		"acme://":                     {"localhost:99"},
		"acme://h":                    {"h:99"},
		"acme://h:1?addr=i&addr=j:3":  {"h:1", "i:99", "j:3"},
		"acme://[::1]:7":              {"[::1]:7"},
		"acme://h?addr=%5B%3A%3A1%5D": {"h:99", "[::1]:99"},
	} {
		p, u := params(t, raw)
		got := p.Addrs("99", u.Host)
		if err := p.Err(); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", raw, got, err, want)
		}
	}
	for _, raw := range []string{"acme://h:70000", "acme://h?addr=", "acme://h?addr=u%40i", "acme://h?addr=i/j", "acme://h?addr=i:x"} {
		p, u := params(t, raw)
		p.Addrs("99", u.Host)
		if err := p.Err(); !errors.Is(err, driver.ErrConfig) {
			t.Errorf("%s: %v, want an error that wraps %q", raw, err, driver.ErrConfig)
		}
	}
}

func TestTLS(t *testing.T) {
	p, _ := params(t, "acme://h?tls_server_name=name")
	config := p.TLS("h")
	if err := p.Err(); err != nil || config.ServerName != "name" {
		t.Errorf("%+v, %v", config, err)
	}
	for query, word := range map[string]string{
		"tls_ca=missing.pem":                    "tls_ca cannot be read",
		"tls_ca=params_test.go":                 "no certificate",
		"tls_cert=missing.pem":                  "need each other",
		"tls_cert=params.go&tls_key=params.go":  "cannot be used",
		"tls_server_name=a&tls_server_name=b":   "given 2 times",
		"tls_key=missing.pem&unknown_parameter": "unknown parameter unknown_parameter",
	} {
		p, _ := params(t, "acme://h?"+query)
		p.TLS("")
		if err := p.Err(); !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v, want one that says %q", query, err, word)
		}
	}
	p, _ = params(t, "acme://h?tls_ca=missing.pem")
	p.TLS("")
	if err := p.Err(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is missing: %v wraps no %v", err, fs.ErrNotExist)
	}
}

func TestChoice(t *testing.T) {
	p, _ := params(t, "acme://h?a=x&b=q")
	if got := p.Choice("a", "y", "x", "y", "z"); got != "x" {
		t.Errorf("a is %q", got)
	}
	if got := p.Choice("c", "y", "x", "y", "z"); got != "y" || p.Err() == nil || strings.Contains(p.Err().Error(), "parameter c") {
		t.Errorf("c is %q, %v", got, p.Err())
	}
	if p.Choice("b", "y", "x", "y", "z"); !strings.Contains(p.Err().Error(), `parameter b="q" is not x, y or z`) {
		t.Errorf("b: %v", p.Err())
	}
}
