package api_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
	"github.com/batch-go/batch/examples/service/api"
	"github.com/batch-go/batch/examples/service/jobs"
)

// TestWhoMayDoWhat asks for the dashboard, and for a pause of a queue, as each user.
func TestWhoMayDoWhat(t *testing.T) {
	d := memory.New()
	emails := batch.NewQueue(d, jobs.Emails)
	if err := emails.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	board, err := api.Dashboard(d, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	h := api.Logins{api.Admin: "one", api.Viewer: "two", "nobody": ""}.Require(http.StripPrefix("/batch", board))
	ask := func(method, path, user, password string) int {
		r := httptest.NewRequest(method, "/batch/"+path, strings.NewReader(url.Values{"confirm": {"yes"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		if user != "" {
			r.SetBasicAuth(user, password)
		}
		answer := httptest.NewRecorder()
		h.ServeHTTP(answer, r)
		return answer.Code
	}
	for _, test := range []struct {
		user, password string
		look, pause    int
		paused         bool
	}{
		{"", "", http.StatusUnauthorized, http.StatusUnauthorized, false},
		{api.Viewer, "one", http.StatusUnauthorized, http.StatusUnauthorized, false},
		{"nobody", "", http.StatusUnauthorized, http.StatusUnauthorized, false},
		{api.Viewer, "two", http.StatusOK, http.StatusForbidden, false},
		{api.Admin, "one", http.StatusOK, http.StatusOK, true},
	} {
		if code := ask(http.MethodGet, "", test.user, test.password); code != test.look {
			t.Errorf("%q looks: %d, want %d", test.user, code, test.look)
		}
		if code := ask(http.MethodPost, "queues/emails/pause", test.user, test.password); code != test.pause {
			t.Errorf("%q pauses: %d, want %d", test.user, code, test.pause)
		}
		if paused, err := batch.Paused(t.Context(), emails); err != nil || paused != test.paused {
			t.Errorf("after %q the queue is paused: %t, %v", test.user, paused, err)
		}
	}
}
