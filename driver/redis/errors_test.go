package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
)

func TestClassify(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("somewhere: %w", err) }
	for _, tt := range []struct {
		err  error
		kind error
		fate driver.Fate
	}{
		{notSent{context.Canceled}, context.Canceled, driver.FateNotStored},
		{context.Canceled, context.Canceled, driver.FateUnknown},
		{context.DeadlineExceeded, context.DeadlineExceeded, driver.FateUnknown},
		{goredis.ErrClosed, driver.ErrClosed, driver.FateNotStored},
		{wrap(goredis.ErrPoolTimeout), driver.ErrUnavailable, driver.FateNotStored},
		{goredis.ErrPoolExhausted, driver.ErrUnavailable, driver.FateNotStored},
		{errReply, driver.ErrBroker, driver.FateUnknown},
		{wrap(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), driver.ErrUnavailable, driver.FateNotStored},
		{&net.DNSError{Name: "x", IsNotFound: true}, driver.ErrUnavailable, driver.FateNotStored},
		{wrap(x509.UnknownAuthorityError{}), driver.ErrUnavailable, driver.FateNotStored},
		{errors.New("redis: cluster has no nodes"), driver.ErrUnavailable, driver.FateNotStored},
		{errors.New("redis: all sentinels specified in configuration are unreachable: x"), driver.ErrUnavailable, driver.FateNotStored},
		{io.EOF, driver.ErrUnavailable, driver.FateUnknown},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, driver.ErrUnavailable, driver.FateUnknown},
		{&net.OpError{Op: "write", Err: errors.New("broken pipe")}, driver.ErrUnavailable, driver.FateUnknown},
		{errors.New("nobody thought of it"), driver.ErrUnavailable, driver.FateUnknown},
		{wrap(serverError("NOAUTH Authentication required.")), driver.ErrUnauthorized, driver.FateNotStored},
		{serverError("EXECABORT"), driver.ErrBroker, driver.FateUnknown},
	} {
		fate, _, kind := classify(tt.err)
		if kind != tt.kind || fate != tt.fate {
			t.Errorf("%v is %v, %s; want %v, %s", tt.err, kind, fate, tt.kind, tt.fate)
		}
		err := fail("op", "q", tt.err)
		if !errors.Is(err, tt.kind) || driver.FateOf(err) != tt.fate {
			t.Errorf("%v became %v", tt.err, err)
		}
	}
	for _, r := range replies {
		fate, hint, kind := classify(serverError(r.prefix + " and more"))
		if kind != r.kind || fate != r.fate || hint != r.hint || hint == "" {
			t.Errorf("%s is %v, %s, %q", r.prefix, kind, fate, hint)
		}
	}
}

// TestReader: no reply makes the parser read outside of it.
func TestReader(t *testing.T) {
	whole := []byte("*4\r\n$3\r\nabc\r\n:5\r\n$-1\r\n*2\r\n$2\r\nid\r\n$0\r\n\r\n")
	for cut := range whole {
		r := reader{buf: whole[:cut]}
		r.array()
		_, _, _ = r.bytes(), r.int(), r.bytes()
		var j job
		j.read(&r, false)
		if r.err == nil {
			t.Errorf("a reply cut at %d was accepted", cut)
		}
	}
	r := reader{buf: whole}
	var j job
	if n, s, i, none := r.array(), r.string(), r.int(), r.bytes(); n != 4 || s != "abc" || i != 5 || none != nil {
		t.Error(n, s, i, none)
	}
	if j.read(&r, true); r.err != nil || !j.bad {
		t.Errorf("%+v, %v", j, r.err)
	}
	if got := string(encode(nil, []any{"abc", int64(5), nil, []any{"id", ""}})); got != string(whole) {
		t.Errorf("encoded %q", got)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("*2\r\n:1\r\n:0\r\n"))
	f.Add([]byte("*4\r\n:-1\r\n:0\r\n:3\r\n*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$2\r\nid\r\n$1\r\nx\r\n"))
	f.Add([]byte("$-1\r\n"))
	f.Add([]byte("*99999999999\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c := &consumer{plans: make(chan plan, 1)}
		r := reader{buf: raw}
		for parts := c.told(&r); parts >= 2 && r.err == nil; parts -= 2 {
			c.entries(&r, int(r.int()), nil, nil)
		}
	})
}

func TestScriptsSayWhatTheyCost(t *testing.T) {
	entries, err := sources.ReadDir("scripts")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, _ := sources.ReadFile("scripts/" + e.Name())
		if e.Name() == "lib.lua" {
			continue
		}
		for _, want := range []string{"-- " + strings.TrimSuffix(e.Name(), ".lua") + ": ", "\n-- reply ", "\n-- cost ", "\n-- twice "} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %q", e.Name(), want)
			}
		}
	}
}
