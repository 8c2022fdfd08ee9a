package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/conformance/proxy"
	"github.com/batch-go/batch/driver"
)

// interrupted is how many enqueues TestInterruptedAnywhere makes, and by how many callers.
const interrupted, interrupters = 1200, 12

// TestInterruptedAnywhere: calls end at random places, while the answers of the server are late.
// Each call that ends well is answered with what is its own, and each job that was confirmed is
// stored: no late answer is taken for that of the next call on the connection.
func TestInterruptedAnywhere(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	u, err := url.Parse(testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.Listen(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	direct := open(t)
	u.Host = p.Addr()
	d := openAt(t, withParam(t, u.String(), "pool_size", "6"))
	q := queue(t, direct)
	enqueue(t, direct, q, message("first"))
	for k := range interrupters {
		enqueue(t, direct, q, message(fmt.Sprint("of-", k), dedup(fmt.Sprint("key-", k))))
	}
	p.Delay(3 * time.Millisecond)
	var mu sync.Mutex
	confirmed, refused, ended := make(map[string]bool), make(map[string]bool), 0
	one := func(r *rand.Rand, caller, n int) {
		ctx, cancel := context.WithTimeout(testContext(t), time.Duration(r.Int64N(int64(40*time.Millisecond))))
		defer cancel()
		if r.IntN(3) == 0 { // its answer names the job that is its own
			key := r.IntN(interrupters)
			results := d.Enqueue(ctx, q, []*driver.Message{message("again", dedup(fmt.Sprint("key-", key)))})
			if len(results) != 1 {
				t.Errorf("no result for a duplicate")
			} else if err := results[0].Err; err == nil && results[0].DuplicateOf != fmt.Sprint("of-", key) {
				t.Errorf("the answer for the key of of-%d is %+v", key, results[0])
			}
			return
		}
		list := make([]*driver.Message, 1+r.IntN(4))
		for i := range list {
			list[i] = message(fmt.Sprintf("j-%d-%d-%d", caller, n, i))
		}
		results := d.Enqueue(ctx, q, list)
		mu.Lock()
		defer mu.Unlock()
		for i, m := range list {
			switch {
			case results == nil || results[i].Err == nil:
				confirmed[m.ID] = true
			case driver.FateOf(results[i].Err) == driver.FateNotStored:
				refused[m.ID] = true
			case !errors.Is(results[i].Err, context.DeadlineExceeded):
				t.Errorf("a call beside those whose ctx ended: %v", results[i].Err)
			default:
				ended++
			}
		}
	}
	var callers sync.WaitGroup
	for caller := range interrupters {
		callers.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(caller)))
			for n := range interrupted / interrupters {
				one(r, caller, n)
			}
		})
	}
	callers.Wait()
	t.Logf("%d jobs confirmed, %d refused, of %d it is not known", len(confirmed), len(refused), ended)
	stored := make(map[string]bool)
	for _, m := range listAll(t, direct, q, driver.StateWaiting, 500) {
		stored[m.ID] = true
	}
	for id := range confirmed {
		if !stored[id] {
			t.Errorf("job %s was confirmed and is not stored", id)
		}
	}
	for id := range refused {
		if stored[id] {
			t.Errorf("job %s was refused and is stored", id)
		}
	}
	if len(confirmed) == 0 || ended == 0 {
		t.Error("no call was interrupted, or none was not")
	}
}
