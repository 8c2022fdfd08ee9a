// Package payments is a provider of payments, as small as it can be, and a client for it. A real one is somebody else's
// service: no transaction of the shop reaches it.
package payments

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Charge is money that was taken.
type Charge struct {
	// ID is the provider's number for it.
	ID string `json:"id"`
	// Order is what it was for, and Cents how much.
	Order int64 `json:"order"`
	Cents int64 `json:"cents"`
}

// Provider answers POST /charges. The header Idempotency-Key says which requests are the same: the first one takes the
// money, and all get its answer. It keeps charges in memory, which a real one does not. The zero value is ready.
type Provider struct {
	mu      sync.Mutex // guards following
	charges []Charge
	byKey   map[string]int // the index of a key's charge
}

// Charges are all charges, in their order.
func (p *Provider) Charges() []Charge {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.charges)
}

// ServeHTTP answers.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost || r.URL.Path != "/charges" {
		http.Error(w, "want POST /charges", http.StatusNotFound)
		return
	}
	var c Charge
	key := r.Header.Get("Idempotency-Key")
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&c); err != nil || key == "" || c.Cents <= 0 {
		http.Error(w, "want an Idempotency-Key, an order and cents", http.StatusBadRequest)
		return
	}
	charged, ok := p.charge(key, c)
	if !ok {
		http.Error(w, "the key is that of another charge", http.StatusUnprocessableEntity)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(charged)
}

// charge takes the money, unless the key has been charged before. It is false if that was for something else.
func (p *Provider) charge(key string, c Charge) (Charge, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at, done := p.byKey[key]; done {
		old := p.charges[at]
		return old, old.Order == c.Order && old.Cents == c.Cents
	}
	if p.byKey == nil {
		p.byKey = make(map[string]int)
	}
	c.ID = fmt.Sprintf("ch_%d", len(p.charges)+1)
	p.byKey[key] = len(p.charges)
	p.charges = append(p.charges, c)
	return c, true
}
