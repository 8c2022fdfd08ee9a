package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch"
)

// mostText is how long a key and an item may be, in bytes.
const mostText = 255

// isText tells whether a text is one that the database takes.
func isText(s string) bool {
	return s != "" && len(s) <= mostText && utf8.ValidString(s) && !strings.Contains(s, "\x00")
}

// fail answers a request that failed for no fault of the client's.
func fail(w http.ResponseWriter, err error) {
	if passes(err) {
		http.Error(w, "try again, an order with the same key", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "this is a mistake of ours", http.StatusInternalServerError)
}

// passing are the classes of the server's errors that say that it is away, busy or full, or that transactions were in each
// other's way: https://www.postgresql.org/docs/current/errcodes-appendix.html
var passing = []string{"08", "40", "53", "55", "57", "58"}

// passes tells whether an error is trouble with the database, which will be over, and no mistake of the program.
func passes(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return len(answer.Code) == 5 && slices.Contains(passing, answer.Code[:2])
	}
	var connect *pgconn.ConnectError
	var network net.Error
	if errors.As(err, &connect) || errors.As(err, &network) || pgconn.SafeToRetry(err) {
		return true
	}
	return slices.ContainsFunc([]error{batch.ErrUnavailable, batch.ErrFull, context.DeadlineExceeded, context.Canceled, io.EOF, io.ErrUnexpectedEOF},
		func(kind error) bool { return errors.Is(err, kind) })
}
