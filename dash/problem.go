package dash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// problem is an error as a page shows it: what it is, what to do about it, and with which status it is answered.
type problem struct {
	Title string
	Text  string
	Hint  string
	// Code is the HTTP status.
	Code int
}

// kinds are the errors of a broker with their titles and statuses. None is 502 or 504, for which some proxies answer with a
// page of their own.
var kinds = []struct {
	err   error
	title string
	code  int
}{
	{batch.ErrNotFound, "Not found", http.StatusNotFound},
	{batch.ErrCapability, "This broker cannot do that", http.StatusNotImplemented},
	{batch.ErrTooLarge, "Too large for the broker", http.StatusRequestEntityTooLarge},
	{batch.ErrInvalid, "Not valid", http.StatusBadRequest},
	{batch.ErrConfig, "Not valid", http.StatusBadRequest}, // a cursor that is none
	{batch.ErrUnauthorized, "The broker refuses this program the right", http.StatusInternalServerError},
	{batch.ErrFull, "The broker is full", http.StatusServiceUnavailable},
	{batch.ErrUnavailable, "The broker cannot be reached", http.StatusServiceUnavailable},
	{context.DeadlineExceeded, "The broker did not answer in time", http.StatusServiceUnavailable},
	{batch.ErrClosed, "This program has closed its connection to the broker", http.StatusServiceUnavailable},
}

// problemOf shows an error of the broker.
func problemOf(err error) *problem {
	if err == nil {
		return nil
	}
	var own *problem
	if errors.As(err, &own) {
		return own
	}
	p := &problem{Title: "The broker answered with an error", Text: printable(err.Error()), Code: http.StatusInternalServerError}
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			p.Title, p.Code = k.title, k.code
			break
		}
	}
	var failed *driver.Error
	if errors.As(err, &failed) && failed.Hint != "" {
		p.Hint = printable(failed.Hint)
		p.Text = strings.Replace(p.Text, " ("+p.Hint+")", "", 1)
	}
	return p
}

// Error makes a problem of this package's own an error.
func (p *problem) Error() string { return p.Title + ": " + p.Text }

// refuse makes a problem.
func refuse(code int, title, format string, args ...any) *problem {
	return &problem{Title: title, Text: printable(fmt.Sprintf(format, args...)), Code: code}
}
