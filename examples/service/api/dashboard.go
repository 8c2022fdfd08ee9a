package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/http"

	"github.com/batch-go/batch/dash"
	"github.com/batch-go/batch/examples/service/jobs"
)

// Logins has the passwords of those who may see the dashboard, by their names. Only Admin may change something. A service
// that has a login page, or a proxy that authenticates, puts the user's name into the context in the same way.
type Logins map[string]string

// The users.
const (
	Viewer = "viewer"
	Admin  = "admin"
)

// userKey is for the name of the user in the context of a request.
type userKey struct{}

// Require lets a request through whose user and password are among those that have one, and asks the browser for them
// otherwise.
func (l Logins) Require(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		want := l[user]
		given, right := sha256.Sum256([]byte(password)), sha256.Sum256([]byte(want))
		if same := subtle.ConstantTimeCompare(given[:], right[:]) == 1; !same || want == "" {
			w.Header().Set("WWW-Authenticate", `Basic realm="batch", charset="UTF-8"`)
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	})
}

// Dashboard makes the dashboard. It reads who asks from the context, where Require has put it. Close it before the broker.
func Dashboard(d jobs.Broker, log *slog.Logger) (*dash.Handler, error) {
	return dash.New(d, dash.Config{
		Queues: jobs.Queues(),
		Authorizer: func(r *http.Request, what dash.Intent) error {
			switch user := r.Context().Value(userKey{}); {
			case user == Admin, user == Viewer && what.Action == dash.ActionReadBody:
				return nil
			}
			return errors.New("only admin may do that")
		},
		ShowBodies: true, // they have IDs of users, and no more
		Logger:     log,
	})
}
