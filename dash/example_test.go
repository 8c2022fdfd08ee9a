package dash_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/dash"
	"github.com/batch-go/batch/driver/memory"
)

// user is who a request is from.
type user struct {
	name  string
	roles []string
}

// userKey is the key of the user in a request's context.
type userKey struct{}

// userOf is the user of a request.
func userOf(r *http.Request) user {
	u, _ := r.Context().Value(userKey{}).(user)
	return u
}

// requireLogin lets in who the proxy before this program has authenticated. A program with sessions looks into those.
func requireLogin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Header.Get("X-Forwarded-User")
		if name == "" {
			http.Error(w, "log in first", http.StatusUnauthorized)
			return
		}
		u := user{name: name, roles: strings.Split(r.Header.Get("X-Forwarded-Groups"), ",")}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, u)))
	})
}

// mayOperate lets operators do everything but purge, and admins that too.
func mayOperate(r *http.Request, what dash.Intent) error {
	u := userOf(r)
	if slices.Contains(u.roles, "admin") {
		return nil
	}
	switch what.Action {
	case dash.ActionPurge, dash.ActionPurgeDead:
		return errors.New("only admins purge queues")
	}
	if !slices.Contains(u.roles, "operator") {
		return errors.New("you need the role operator")
	}
	return nil
}

// send sends a request as a browser behind the proxy does.
func send(h http.Handler, method, path, name, groups string) int {
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("X-Forwarded-User", name)
	r.Header.Set("X-Forwarded-Groups", groups)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// A dashboard behind a login, in which operators may act.
func ExampleNew() {
	d := memory.New()
	ctx := context.Background()
	if err := batch.NewQueue(d, "emails").Declare(ctx); err != nil {
		log.Fatal(err)
	}

	h, err := dash.New(d, dash.Config{Authorizer: mayOperate, ShowBodies: true})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	mux := http.NewServeMux()
	mux.Handle("/batch/", requireLogin(http.StripPrefix("/batch", h)))

	fmt.Println("nobody looks:", send(mux, http.MethodGet, "/batch/queues/emails", "", ""))
	fmt.Println("ann looks:", send(mux, http.MethodGet, "/batch/queues/emails", "ann", "support"))
	fmt.Println("ann pauses:", send(mux, http.MethodPost, "/batch/queues/emails/pause", "ann", "support"))
	fmt.Println("bob pauses:", send(mux, http.MethodPost, "/batch/queues/emails/pause", "bob", "operator"))
	// Output:
	// nobody looks: 401
	// ann looks: 200
	// ann pauses: 403
	// bob pauses: 200
}

// Without a Config the dashboard only shows, and no bodies.
func ExampleConfig() {
	d := memory.New()
	h, err := dash.New(d, dash.Config{Queues: []string{"emails", "reports"}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	http.Handle("/batch/", http.StripPrefix("/batch", h))

	fmt.Println("looks:", send(http.DefaultServeMux, http.MethodGet, "/batch/", "", ""))
	fmt.Println("purges:", send(http.DefaultServeMux, http.MethodPost, "/batch/queues/emails/purge", "", ""))
	// Output:
	// looks: 200
	// purges: 403
}
