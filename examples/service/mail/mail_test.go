package mail_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/batch-go/batch/examples/service/mail"
)

// TestProvider has a provider answer in each way that there is.
func TestProvider(t *testing.T) {
	for _, test := range []struct {
		status     int
		retryAfter string
		want       mail.Refused // with the status zero if the mail is sent
		forever    bool
	}{
		{http.StatusOK, "", mail.Refused{}, false},
		{http.StatusAccepted, "", mail.Refused{}, false},
		{http.StatusUnprocessableEntity, "", mail.Refused{Status: 422}, true},
		{http.StatusTooManyRequests, "90", mail.Refused{Status: 429, RetryAfter: 90 * time.Second}, false},
		{http.StatusTooManyRequests, "-1", mail.Refused{Status: 429}, false},
		{http.StatusRequestTimeout, "", mail.Refused{Status: 408}, false},
		{http.StatusServiceUnavailable, "Fri, 31 Dec 1999 23:59:59 GMT", mail.Refused{Status: 503}, false},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var got mail.Mail
			if err := json.NewDecoder(r.Body).Decode(&got); err != nil || got != (mail.Mail{To: "user-7", Template: "welcome"}) || r.Header.Get("Idempotency-Key") != "one" {
				t.Errorf("the provider gets %+v with the key %q, %v", got, r.Header.Get("Idempotency-Key"), err)
			}
			w.Header().Set("Retry-After", test.retryAfter)
			w.WriteHeader(test.status)
		}))
		provider := &mail.Provider{URL: server.URL, Client: server.Client()}
		err := provider.Send(t.Context(), mail.Mail{Key: "one", To: "user-7", Template: "welcome"})
		server.Close()
		var refused *mail.Refused
		switch {
		case test.want.Status == 0 && err != nil:
			t.Errorf("%d is the error %v", test.status, err)
		case test.want.Status != 0 && (!errors.As(err, &refused) || *refused != test.want || refused.Forever() != test.forever):
			t.Errorf("%d is %+v, want %+v, for ever %t", test.status, err, test.want, test.forever)
		}
	}
}
