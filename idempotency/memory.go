package idempotency

import (
	"container/heap"
	"context"
	"errors"
	"sync"
	"time"
)

// Memory is a [Store] in the memory of one process. It is right for tests, and
// for queues whose only worker is this process, for as long as that lives. Make
// it with [NewMemory].
type Memory struct {
	limit int

	mu     sync.Mutex // guards following
	tokens uint64
	keys   map[string]*record
	expiry expiries
}

// record is what is known of one key until it expires.
type record struct {
	key   string
	token uint64
	done  bool
	until time.Time
	index int // in expiries
}

// DefaultKeys is the limit of [NewMemory] if it is given none: about 200 MB of
// keys.
const DefaultKeys = 1_000_000

// NewMemory makes a store for at most limit keys, in progress and done together;
// 0 stands for DefaultKeys. When it is full, a new key is refused with [ErrFull]
// until another expires: if a key were forgotten early, its job could run twice.
// A negative limit is a programming error and panics.
func NewMemory(limit int) *Memory {
	if limit < 0 {
		panic("idempotency: NewMemory with a negative limit")
	}
	if limit == 0 {
		limit = DefaultKeys
	}
	return &Memory{limit: limit, keys: make(map[string]*record)}
}

// Len is the number of keys that the store remembers.
func (m *Memory) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.forget(time.Now())
	return len(m.keys)
}

// Begin claims a key.
func (m *Memory) Begin(ctx context.Context, key string, ttl time.Duration) (Claim, State, error) {
	if err := ctx.Err(); err != nil {
		return Claim{}, 0, err
	}
	if key == "" {
		return Claim{}, 0, errors.New("idempotency: the key is empty")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.forget(now)
	if r, ok := m.keys[key]; ok {
		if r.done {
			return Claim{}, Done, nil
		}
		return Claim{}, InProgress, nil
	}
	if len(m.keys) >= m.limit {
		return Claim{}, 0, ErrFull
	}
	m.tokens++
	r := &record{key: key, token: m.tokens, until: now.Add(ttl)}
	m.keys[key] = r
	heap.Push(&m.expiry, r)
	return Claim{Key: key, Token: r.token}, Fresh, nil
}

// Extend renews a claim.
func (m *Memory) Extend(ctx context.Context, claim Claim, ttl time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	r := m.held(claim, now)
	if r == nil || r.done {
		return ErrLost
	}
	m.keep(r, now.Add(ttl))
	return nil
}

// Complete makes a claimed key done.
func (m *Memory) Complete(ctx context.Context, claim Claim, retention time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	r := m.held(claim, now)
	switch {
	case r == nil:
		return ErrLost
	case r.done:
		return nil
	}
	r.done = true
	m.keep(r, now.Add(retention))
	return nil
}

// Abandon gives up a claim.
func (m *Memory) Abandon(ctx context.Context, claim Claim) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.held(claim, time.Now()); r != nil && !r.done {
		heap.Remove(&m.expiry, r.index)
		delete(m.keys, r.key)
	}
	return nil
}

// held is the record that the claim made, or nil. m.mu must be held.
func (m *Memory) held(claim Claim, now time.Time) *record {
	m.forget(now)
	if r, ok := m.keys[claim.Key]; ok && r.token == claim.Token {
		return r
	}
	return nil
}

// keep makes a record expire at another time. m.mu must be held.
func (m *Memory) keep(r *record, until time.Time) {
	r.until = until
	heap.Fix(&m.expiry, r.index)
}

// forget removes what has expired. m.mu must be held.
func (m *Memory) forget(now time.Time) {
	for len(m.expiry) > 0 && !now.Before(m.expiry[0].until) {
		delete(m.keys, heap.Pop(&m.expiry).(*record).key)
	}
}

// expiries is a heap of records, the next to expire first.
type expiries []*record

func (e expiries) Len() int           { return len(e) }
func (e expiries) Less(i, j int) bool { return e[i].until.Before(e[j].until) }
func (e expiries) Swap(i, j int) {
	e[i], e[j] = e[j], e[i]
	e[i].index, e[j].index = i, j
}

// Push adds a record; it is called by package heap.
func (e *expiries) Push(x any) {
	r := x.(*record)
	r.index = len(*e)
	*e = append(*e, r)
}

// Pop removes the last record; it is called by package heap.
func (e *expiries) Pop() any {
	last := len(*e) - 1
	r := (*e)[last]
	(*e)[last] = nil
	*e = (*e)[:last]
	return r
}
