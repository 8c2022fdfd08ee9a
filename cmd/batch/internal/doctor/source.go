package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/batch-go/batch/driver"
)

// maxAnswer bounds what is read of an answer: a broker with a thousand queues says a
// megabyte.
const maxAnswer = 64 << 20

// IsMonitoring tells whether a text can be Options.Monitoring: the URL of an HTTP server without
// a query, "none", or nothing.
func IsMonitoring(s string) bool {
	if s == "" || s == "none" {
		return true
	}
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

// source is where the broker's monitoring is: where the user says, or else on the broker's
// host by the scheme and the port of at. It has the broker's credentials, unless the user
// names others.
func (x *examination) source(broker *url.URL, at string) *source {
	s := &source{base: x.Monitoring, given: x.Monitoring != "", user: broker.User}
	if !s.given {
		host, _, _ := strings.Cut(broker.Host, ",")
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		scheme, port, _ := strings.Cut(at, "://:")
		s.base = scheme + "://" + net.JoinHostPort(strings.Trim(host, "[]"), port)
	}
	if u, err := url.Parse(s.base); err == nil && u.User != nil {
		s.user, u.User = u.User, nil
		s.base = u.String() // credentials of a URL end up in errors
	}
	s.base = strings.TrimRight(s.base, "/")
	return s
}

// source is an HTTP server that says how the broker is.
type source struct {
	base  string // without credentials
	given bool   // by the user
	user  *url.Userinfo
}

// statusError is an answer that is none.
type statusError struct{ code int }

// Error says what the server said.
func (e statusError) Error() string { return fmt.Sprintf("HTTP status %d", e.code) }

// get asks for a path, and reads the answer's JSON into answer.
func (s *source) get(ctx context.Context, path string, answer any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+path, nil)
	if err != nil {
		return errors.New("its URL cannot be used") // it may have a password
	}
	if s.user != nil {
		password, _ := s.user.Password()
		r.SetBasicAuth(s.user.Username(), password)
	}
	// Credentials go to this server and to no other that it names.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	response, err := client.Do(r)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusServiceUnavailable { // by which health checks say no
		return statusError{response.StatusCode}
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(answer); err != nil {
		return fmt.Errorf("the answer of %s is no JSON of it", s.base+path)
	}
	return nil
}

// silent reports that the monitoring could not be read, and what is not known for that. It
// is a failure only if the user has said where it is.
func (x *examination) silent(s *source, unknown, remedy string, err error) {
	grade := driver.GradeUnknown
	if s.given {
		grade = driver.GradeFail
	}
	x.found("monitoring", grade, remedy, "%s (%s)", unknown, err)
}
