package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/batch-go/batch/examples/service/mail"
)

// provider is one of mails, for tests.
type provider struct {
	*httptest.Server

	mu   sync.Mutex
	sent map[string]int // guarded by mu: how often each mail was accepted, by its key
	// hold, if it is set before the first request, holds answers back until it is closed. began gets the key of each mail
	// that is held back.
	hold  chan struct{}
	began chan string
}

// newProvider starts a provider that refuses the first so many welcomes. Digests it takes without further ado: whether there is
// one depends on the time of the day.
func newProvider(t *testing.T, refusals int) *provider {
	p := &provider{sent: make(map[string]int), began: make(chan string, 1000)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var m mail.Mail
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || m.Template != "welcome" {
			return
		}
		key := r.Header.Get("Idempotency-Key")
		if p.hold != nil {
			p.began <- key
			select {
			case <-p.hold:
			case <-r.Context().Done():
				return
			}
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if refusals--; refusals >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		p.sent[key]++
	}))
	t.Cleanup(p.Close)
	return p
}

// mails is how often each mail was sent.
func (p *provider) mails() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[string]int, len(p.sent))
	for key, n := range p.sent {
		all[key] = n
	}
	return all
}
