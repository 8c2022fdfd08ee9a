package driver_test

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// FuzzURL reads URLs of any form: an error repeats nothing of them, and what is read is
// within the bounds.
func FuzzURL(f *testing.F) {
	for _, raw := range []string{
		"acme://u:p@h:1/x?addr=i&n=3&d=1s&b=true&c=x", "acme://h", "acme:", "", "acme://[::1]:7?addr=%5B%3A%3A1%5D", "acme://u:12?p@h", "acme://h?n=99999999999999999999",
		"acme://h?d=9223372036854775807ns&d=1s", "acme://h?%zz=1", "acme://h?a;b", "acme://h:99999", "acme://\x00",
	} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := driver.ParseURL("acme", raw)
		if err != nil {
			if text := err.Error(); !errors.Is(err, driver.ErrConfig) || len(raw) > 20 && strings.Contains(text, raw) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		p := driver.NewParams("acme", u)
		addrs := p.Addrs("99", u.Host)
		n := p.Int("n", 1, 0, 9)
		d := p.Duration("d", time.Second, 0, time.Hour)
		b, c := p.Bool("b", true), p.Choice("c", "x", "x", "y")
		if n < 0 || n > 9 || d < 0 || d > time.Hour || c != "x" && c != "y" {
			t.Errorf("%q: %d, %s, %v, %s", raw, n, d, b, c)
		}
		if err := p.Err(); err != nil {
			if !errors.Is(err, driver.ErrConfig) {
				t.Errorf("%q: %v", raw, err)
			}
			return
		}
		for _, addr := range addrs {
			host, port, err := net.SplitHostPort(addr)
			if k, e := strconv.Atoi(port); err != nil || e != nil || host == "" || k < 1 || k > 65535 {
				t.Errorf("%q: the address %q", raw, addr)
			}
		}
		if text := fmt.Sprintf("%+v %#v", p, p); strings.Contains(text, "map[") {
			t.Errorf("the parameters print as %s", text)
		}
	})
}
