package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// invalidURLs are URLs that are refused, and a part of the error.
var invalidURLs = []struct{ url, says string }{
	{"mysql://h/d", "scheme"},
	{"postgres://h", "form"},
	{"postgres://h/", "form"},
	{"postgres:h", "form"},
	{"postgres://h/d#f", "form"},
	{"postgres://h/d?schema=Batch", "schema"},
	{"postgres://h/d?schema=a.b", "schema"},
	{"postgres://h/d?schema=pg_x", "schema"},
	{"postgres://h/d?schema=public", "schema"},
	{"postgres://h/d?schema=" + strings.Repeat("a", 49), "schema"},
	{"postgres://h/d?pool_size=1", "pool_size"},
	{"postgres://h/d?pool_size=1001", "pool_size"},
	{"postgres://h/d?pool_size=2&pool_size=3", "2 times"},
	{"postgres://h/d?dedup_window=1ms", "dedup_window"},
	{"postgres://h/d?dedup_window=9000h", "dedup_window"},
	{"postgres://h/d?migrate=maybe", "migrate"},
	{"postgres://h/d?dedup_windw=1h", "unknown parameter dedup_windw; known:"},
	{"postgres://h/d?search_path=x", "unknown parameter search_path"},
	{"postgres://h/d?password=secret", "unknown parameter password"},
	{"postgres://h/d?sslmode=perhaps", "sslmode"},
	{"postgres://h/d?sslmode=verify-full&sslrootcert=/no/such/file", "cannot be read"},
	{"postgres://h/d?connect_timeout=fast", ""},
	{"postgres://u:secret@h:port/d", ""},
	{"postgres://u:secret/x@h/d", ""},
	{"postgres://u:secret\x7f@h/d", ""},
	{"postgres://u:secret%zz@h/d", ""},
	{"postgres://u:secret@h/d?x=secret", "unknown parameter x"},
	{"postgres://u:secret@h/d?target_session_attrs=x", ""},
}

func TestURL(t *testing.T) {
	t.Parallel()
	for _, tt := range invalidURLs {
		_, err := parsed(tt.url)
		if !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.url, err)
		}
		if _, err2 := Open(context.Background(), tt.url); err2 == nil || strings.Contains(fmt.Sprintf("%v%#v%v", err, err, err2), "secret") {
			t.Errorf("%s: the error tells the password: %v, %v", tt.url, err, err2)
		}
	}
	c, err := parsed("postgresql://u:p%40@h:1/d")
	if err != nil || c.schema != "batch" || c.window != 24*time.Hour || !c.migrate || c.pool.MaxConns != 10 ||
		c.pool.ConnConfig.Password != "p@" || c.pool.ConnConfig.Host != "h" || c.pool.ConnConfig.Port != 1 ||
		c.pool.ConnConfig.ConnectTimeout != 10*time.Second || c.pool.ConnConfig.RuntimeParams["synchronous_commit"] != "on" {
		t.Errorf("the defaults are %+v, %v", c, err)
	}
	c, err = parsed("postgres://h/d?schema=a_1&dedup_window=1h&migrate=false&pool_size=3&connect_timeout=2&application_name=x&sslmode=disable")
	if err != nil || c.schema != "a_1" || c.window != time.Hour || c.migrate || c.pool.MaxConns != 3 ||
		c.pool.ConnConfig.ConnectTimeout != 2*time.Second || c.pool.ConnConfig.RuntimeParams["application_name"] != "x" || c.pool.ConnConfig.TLSConfig != nil {
		t.Errorf("with all parameters: %+v, %v", c, err)
	}
}

// parsed parses a URL as Open does.
func parsed(raw string) (*config, error) {
	u, err := driver.ParseURL(Name, raw)
	if err != nil {
		return nil, err
	}
	return parseURL(u)
}
