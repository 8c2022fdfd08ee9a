package main

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// provider is one of mails, for tests.
type provider struct {
	*httptest.Server

	mu   sync.Mutex
	sent map[string]int // guarded by mu: how often each mail was accepted, by its key
	// traces are those of requests, guarded by mu.
	traces []string
	// hold, if it is there, holds answers back until it is closed. began gets a key for each mail that it holds.
	hold  chan struct{}
	began chan string
}

// newProvider starts a provider that refuses the first so many requests.
func newProvider(t *testing.T, refusals int) *provider {
	p := &provider{sent: make(map[string]int), began: make(chan string, 1000)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		p.mu.Lock()
		hold := p.hold
		p.traces = append(p.traces, r.Header.Get("traceparent"))
		p.mu.Unlock()
		if hold != nil {
			p.began <- key
			select {
			case <-hold:
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
