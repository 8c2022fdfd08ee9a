package postgres

import (
	"context"
	"database/sql"
	"errors"
	"net"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
)

// faults makes the driver's errors.
var faults = fault.Maker{Driver: Name, Classify: classify}

// The driver's own codes, of which the functions of the schema make errors.
const (
	codeNoQueue  = "BA404"
	codeDatabase = "BA001"
	codeKeys     = "BA054"
)

// codeLockTimeout says that a lock was not free within lock_timeout.
const codeLockTimeout = "55P03"

var (
	// errNoQueue says that a queue does not exist.
	errNoQueue = errors.New("the queue does not exist")
	// errInTx says that a row is locked, by CompleteTx in a transaction that is open.
	errInTx = errors.New("a transaction of the application holds the job")
	// errNoTx says that there is no transaction, and errElsewhere that it is one of another database.
	errNoTx      = errors.New("the transaction is nil")
	errElsewhere = errors.New("the transaction is of another database than the queue")
	// errCut is the end of a call that Close has cut off.
	errCut = errors.New("cut off")
	// errSilent says that no answer came.
	errSilent = errors.New("no answer came in time")
	// errAnswer is the end of an answer before it was whole.
	errAnswer = errors.New("the server's answer cannot be read")
)

// fail makes a driver error of what an operation ended with.
func fail(op, queue string, err error) error {
	if isCode(err, codeNoQueue) {
		return faults.Refuse(op, queue, driver.ErrNotFound, errNoQueue, "")
	}
	return faults.Fail(op, queue, err)
}

// failOwn is fail for what the driver stores by itself: its connections are of its database.
func failOwn(op, queue string, err error) error {
	if isCode(err, codeDatabase) {
		return faults.Refuse(op, queue, driver.ErrConfig, errors.New("the schema was made anew since the driver was opened"), "open the driver again")
	}
	return fail(op, queue, err)
}

// closed is the error of an operation after Close.
func closed(op, queue string) error { return faults.Closed(op, queue) }

// invalid is the error of a URL or option that cannot be.
func invalid(err error) error { return faults.Invalid(err) }

// stated is an error of the server's, as all packages for it have them.
type stated interface {
	error
	SQLState() string
}

// isCode tells whether an error is the server's with this code.
func isCode(err error, code string) bool {
	var s stated
	return errors.As(err, &s) && s.SQLState() == code
}

// isTooLoud tells whether a transaction failed as the server takes no notifications.
func isTooLoud(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "54000" && pg.Routine == "PreCommit_Notify"
}

// connectError is why no connection came about, without the configuration that the client library's own
// error carries, password included.
type connectError struct {
	text  string
	cause error
}

// Error is the text of the cause, or of all of several.
func (e *connectError) Error() string { return e.text }

// Unwrap returns the cause.
func (e *connectError) Unwrap() error { return e.cause }

// withoutConfig replaces an error of the client library's that carries the configuration.
func withoutConfig(err error) error {
	var connect *pgconn.ConnectError
	if !errors.As(err, &connect) {
		return err
	}
	e := &connectError{text: "no connection"}
	if inner := connect.Unwrap(); inner != nil {
		e.text = strings.Join(strings.Fields(inner.Error()), " ")
	}
	var pg *pgconn.PgError
	var op *net.OpError
	switch {
	case errors.As(err, &pg):
		e.cause = pg
	case errors.Is(err, context.Canceled):
		e.cause = context.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		e.cause = context.DeadlineExceeded
	case errors.As(err, &op):
		e.cause = op
	case fault.IsTLS(err):
		e.cause = errTLS
	}
	return e
}

// isConnect tells whether an error is that no connection came about.
func isConnect(err error) bool {
	var connect *connectError
	return errors.As(err, &connect)
}

// errTLS stands for a failure of the TLS handshake.
var errTLS = errors.New("the TLS handshake failed")

// classify says what an error of the client library or the server means.
func classify(err error) fault.Verdict {
	var s stated
	switch {
	case errors.Is(err, errInTx):
		return fault.NotStored(driver.ErrUnavailable, "it goes on when the transaction has ended")
	case errors.As(err, &s):
		return classifyCode(s.SQLState())
	case errors.Is(err, pgx.ErrTxClosed) || errors.Is(err, sql.ErrTxDone):
		return fault.NotStored(driver.ErrClosed, "the transaction has ended")
	case err == context.Canceled || err == context.DeadlineExceeded:
		return fault.Unknown(err, "")
	case errors.Is(err, errSilent):
		return fault.Unknown(driver.ErrUnavailable, "")
	case errors.Is(err, errCut):
		return fault.Verdict{Kind: driver.ErrClosed, Fate: driver.FateUnknown, Bare: true}
	case errors.Is(err, errAnswer):
		return fault.Unknown(driver.ErrBroker, "")
	case fault.IsDial(err):
		return fault.NotStored(driver.ErrUnavailable, "is the server running, and the address right?")
	case fault.IsName(err):
		return fault.NotStored(driver.ErrUnavailable, "the server's name cannot be resolved")
	case fault.IsTLS(err) || errors.Is(err, errTLS):
		return fault.NotStored(driver.ErrUnavailable, "the TLS handshake failed: see sslmode and sslrootcert")
	case isConnect(err):
		return fault.NotStored(driver.ErrUnavailable, "")
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return fault.Unknown(driver.ErrUnavailable, "the server did not answer in time")
	}
	return fault.Unknown(driver.ErrUnavailable, "")
}

// What to do about a transaction of another database, and a schema that is not as the program needs it.
const (
	hintElsewhere = "begin the transaction on the database and in the schema that the driver was opened with"
	hintPooler    = "a pooler is in between: the application's connections must prepare no statements, with default_query_exec_mode=exec for example"
	hintNoSchema  = "the schema is not there, or a newer program has changed it: open the driver with migrate=true or run Migrate, or upgrade this program"
)

// hintKeys is what to do about a transaction with too many keys.
const hintKeys = "store fewer jobs with a Unique key in one transaction and commit in between, or raise the server's max_locks_per_transaction"

// codes are what the server's codes mean, by their beginning; the first that fits counts. A statement
// that fails, and a transaction of which one does, changes nothing:
// https://www.postgresql.org/docs/current/errcodes-appendix.html
var codes = []struct {
	prefix string
	kind   error
	hint   string
}{
	{codeDatabase, driver.ErrConfig, hintElsewhere},
	{codeKeys, driver.ErrConfig, hintKeys},
	{"42P01", driver.ErrConfig, hintNoSchema},
	{"42883", driver.ErrConfig, hintNoSchema},
	{"3F000", driver.ErrConfig, hintNoSchema},
	{"3D000", driver.ErrConfig, "the database does not exist"},
	{"28", driver.ErrUnauthorized, "the user or password is wrong, or pg_hba.conf refuses them"},
	{"42501", driver.ErrUnauthorized, "grant the role what the documentation of driver/postgres lists under Rights"},
	{"26000", driver.ErrBroker, hintPooler},
	{"42P05", driver.ErrBroker, hintPooler},
	{"55000", driver.ErrUnavailable, ""}, // as of a database that takes no connections
	{"25006", driver.ErrUnavailable, "the server is a replica, or its transactions are read-only"},
	{"25P03", driver.ErrUnavailable, "the transaction was idle for longer than idle_in_transaction_session_timeout: begin it again"},
	{"25P04", driver.ErrUnavailable, "the transaction took longer than transaction_timeout: begin it again"},
	{"25P02", driver.ErrBroker, "an earlier statement of the transaction has failed: roll it back"},
	{"40", driver.ErrUnavailable, "transactions were in each other's way: roll back and try again"},
	{"53100", driver.ErrFull, "the server's disk is full"},
	{"53200", driver.ErrFull, "the server is out of memory, or of locks: see max_locks_per_transaction"},
	{"53300", driver.ErrUnavailable, "the server has no connection left: see max_connections, and pool_size of all programs"},
	{"53", driver.ErrUnavailable, ""},
	{"54000", driver.ErrFull, "a limit of the server is reached, of notifications or of transaction IDs: its log says which"},
	{"54", driver.ErrTooLarge, ""},
	{codeLockTimeout, driver.ErrUnavailable, "a lock was not free within lock_timeout"},
	{"57014", driver.ErrUnavailable, "the statement took longer than statement_timeout, or somebody cancelled it"},
	{"57P", driver.ErrUnavailable, "the server is starting or shutting down"},
	{"08", driver.ErrUnavailable, ""},
	{"58", driver.ErrUnavailable, ""},
}

// classifyCode says what an error of the server means.
func classifyCode(code string) fault.Verdict {
	for _, c := range codes {
		if strings.HasPrefix(code, c.prefix) {
			return fault.NotStored(c.kind, c.hint)
		}
	}
	return fault.NotStored(driver.ErrBroker, "")
}
