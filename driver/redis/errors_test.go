package redis

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

func TestClassify(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("somewhere: %w", err) }
	for _, tt := range []struct {
		err  error
		kind error
		fate driver.Fate
	}{
		{fault.NotSent{Err: context.Canceled}, context.Canceled, driver.FateNotStored},
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
		v := faults.Verdict(tt.err)
		if v.Kind != tt.kind || v.Fate != tt.fate {
			t.Errorf("%v is %v, %s; want %v, %s", tt.err, v.Kind, v.Fate, tt.kind, tt.fate)
		}
		err := fail("op", "q", tt.err)
		if !errors.Is(err, tt.kind) || driver.FateOf(err) != tt.fate {
			t.Errorf("%v became %v", tt.err, err)
		}
	}
	missing := fail("op", "q", serverError("NOQUEUE the queue does not exist"))
	if !errors.Is(missing, driver.ErrNotFound) || driver.FateOf(missing) != driver.FateNotStored ||
		missing.Error() != "redis: op on queue q: not found: the queue does not exist" {
		t.Errorf("a missing queue is %v, %s", missing, driver.FateOf(missing))
	}
	for _, r := range replies {
		v := faults.Verdict(serverError(r.prefix + " and more"))
		if v.Kind != r.kind || v.Fate != r.fate || v.Hint != r.hint || v.Hint == "" {
			t.Errorf("%s is %v, %s, %q", r.prefix, v.Kind, v.Fate, v.Hint)
		}
	}
}
