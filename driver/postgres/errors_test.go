package postgres

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// otherError is an error of the server's with a code, as other packages for database/sql have it.
type otherError string

// Error is the code.
func (e otherError) Error() string { return string(e) }

// SQLState is the code.
func (e otherError) SQLState() string { return string(e) }

func TestClassify(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return fmt.Errorf("somewhere: %w", err) }
	for _, tt := range []struct {
		err  error
		kind error
		fate driver.Fate
	}{
		{fault.NotSent{Err: context.Canceled}, context.Canceled, driver.FateNotStored},
		{context.Canceled, context.Canceled, driver.FateUnknown},
		{context.DeadlineExceeded, context.DeadlineExceeded, driver.FateUnknown},
		{errInTx, driver.ErrUnavailable, driver.FateNotStored},
		{errSilent, driver.ErrUnavailable, driver.FateUnknown},
		{errCut, driver.ErrClosed, driver.FateUnknown},
		{wrap(errAnswer), driver.ErrBroker, driver.FateUnknown},
		{wrap(&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}), driver.ErrUnavailable, driver.FateNotStored},
		{&net.DNSError{Name: "x", IsNotFound: true}, driver.ErrUnavailable, driver.FateNotStored},
		{wrap(x509.UnknownAuthorityError{}), driver.ErrUnavailable, driver.FateNotStored},
		{wrap(errTLS), driver.ErrUnavailable, driver.FateNotStored},
		{&connectError{text: "x"}, driver.ErrUnavailable, driver.FateNotStored},
		{&connectError{text: "x", cause: &pgconn.PgError{Code: "28P01"}}, driver.ErrUnauthorized, driver.FateNotStored},
		{io.ErrUnexpectedEOF, driver.ErrUnavailable, driver.FateUnknown},
		{&net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}, driver.ErrUnavailable, driver.FateUnknown},
		{&net.OpError{Op: "write", Err: errors.New("broken pipe")}, driver.ErrUnavailable, driver.FateUnknown},
		{errors.New("nobody thought of it"), driver.ErrUnavailable, driver.FateUnknown},
		{&pgconn.PgError{Code: "XX000"}, driver.ErrBroker, driver.FateNotStored},
		{&pgconn.PgError{Code: "40001"}, driver.ErrUnavailable, driver.FateNotStored},
		{&pgconn.PgError{Code: "40P01"}, driver.ErrUnavailable, driver.FateNotStored},
		{&pgconn.PgError{Code: "57P01"}, driver.ErrUnavailable, driver.FateNotStored},
		{&pgconn.PgError{Code: "53100"}, driver.ErrFull, driver.FateNotStored},
		{&pgconn.PgError{Code: "54000"}, driver.ErrFull, driver.FateNotStored},
		{&pgconn.PgError{Code: "54001"}, driver.ErrTooLarge, driver.FateNotStored},
		{&pgconn.PgError{Code: "25P03"}, driver.ErrUnavailable, driver.FateNotStored},
		{wrap(otherError("40001")), driver.ErrUnavailable, driver.FateNotStored}, // of another package for database/sql
		{fault.NotSent{Err: wrap(pgx.ErrTxClosed)}, driver.ErrClosed, driver.FateNotStored},
		{sql.ErrTxDone, driver.ErrClosed, driver.FateNotStored},
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
	missing := fail("op", "q", &pgconn.PgError{Code: codeNoQueue})
	if !errors.Is(missing, driver.ErrNotFound) || driver.FateOf(missing) != driver.FateNotStored ||
		missing.Error() != "postgres: op on queue q: not found: the queue does not exist" {
		t.Errorf("a missing queue is %v, %s", missing, driver.FateOf(missing))
	}
	for i, c := range codes {
		code := (c.prefix + "000")[:5]
		for _, before := range codes[:i] {
			if len(before.prefix) <= len(c.prefix) && c.prefix[:len(before.prefix)] == before.prefix {
				t.Errorf("%s is never reached, behind %s", c.prefix, before.prefix)
			}
		}
		if v := faults.Verdict(&pgconn.PgError{Code: code}); v.Kind != c.kind || v.Fate != driver.FateNotStored || v.Hint != c.hint {
			if len(c.prefix) == 5 {
				t.Errorf("%s is %v, %s, %q", code, v.Kind, v.Fate, v.Hint)
			}
		}
	}
}
