package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/examples/orders/api"
)

// void is an item that the database refuses at the commit, after the job was stored in the transaction.
const void = "void"

// clients order, and ask again with the same key until they have an answer.
type clients struct {
	t      *testing.T
	api    *process
	client *http.Client

	mu        sync.Mutex       // guards following
	confirmed map[int64]string // the keys of the orders that were confirmed
	repeats   int              // requests that were made again
}

// run is one client. It orders until stop is closed, and then until what it has begun is confirmed, or ctx ends.
func (c *clients) run(ctx context.Context, stop <-chan struct{}, name string) {
	pace := time.NewTicker(40 * time.Millisecond)
	defer pace.Stop()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		case <-ctx.Done():
			return
		case <-pace.C:
		}
		key, item := fmt.Sprintf("%s-%d", name, i), "tea"
		if i%10 == 9 {
			_, _ = c.order(ctx, key, void) // once: it can never be confirmed
			continue
		}
		for try := 0; ctx.Err() == nil; try++ {
			id, err := c.order(ctx, key, item)
			if err == nil && c.note(id, key, try) {
				break
			}
			select {
			case <-ctx.Done():
			case <-pace.C:
			}
		}
	}
}

// note notes a confirmed order. It is true if the order need not be asked for again, which every fifth is although it was
// confirmed: then it must be the same.
func (c *clients) note(id int64, key string, try int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if try > 0 {
		c.repeats++
	}
	if other, known := c.confirmed[id]; known && other != key {
		c.t.Errorf("order %d is that of key %s and that of %s", id, other, key)
	}
	_, known := c.confirmed[id]
	c.confirmed[id] = key
	return known || id%5 != 0
}

// order makes a request. The error says that nothing is known of the order.
func (c *clients) order(ctx context.Context, key, item string) (id int64, err error) {
	body, err := json.Marshal(api.Order{Item: item, Cents: 250})
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api.url()+"/orders", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Idempotency-Key", key)
	answer, err := c.client.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusCreated {
		return 0, fmt.Errorf("status %d", answer.StatusCode)
	}
	var o api.Order
	if err := json.NewDecoder(answer.Body).Decode(&o); err != nil {
		return 0, err
	}
	if item == void || o.ID == 0 || o.Item != item || o.Cents != 250 {
		c.t.Errorf("the answer to %s of %s is %+v", key, item, o)
	}
	return o.ID, nil
}
