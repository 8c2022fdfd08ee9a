package redis

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestEvictionIsRefused: a server that may evict jobs or unique keys is not opened, and
// one that begins to while the driver runs takes no more jobs.
func TestEvictionIsRefused(t *testing.T) {
	t.Parallel()
	server := brokers.NewRedis(t, brokers.Redis8)
	d, r := openAt(t, server.URL()), rawAt(t, server.URL())
	d.eviction.every = time.Nanosecond
	d.eviction.next.Store(0)
	q := queue(t, d)
	ctx := testContext(t)
	set := func(name, value string) {
		t.Helper()
		if err := r.ConfigSet(ctx, name, value).Err(); err != nil {
			t.Fatal(err)
		}
	}
	// What a call that begins now is told was found by a look that began before.
	looked := func() {
		t.Helper()
		seen := d.eviction.looks.Load()
		eventually(t, "two looks", func() bool {
			_ = d.eviction.refuse("enqueue", q)
			return d.eviction.looks.Load() >= seen+2
		})
	}
	set("maxmemory", "100mb")
	for _, policy := range []string{"volatile-lru", "volatile-ttl", "allkeys-lru", "noeviction"} {
		set("maxmemory-policy", policy)
		looked()
		calls := map[string]error{
			"Enqueue":       firstError(d.Enqueue(ctx, q, []*driver.Message{message("a", dedup(policy))})),
			"EnqueueAtomic": d.EnqueueAtomic(ctx, q, many(2)),
			"Import":        firstError(d.Import(ctx, q, entriesOf(many(1), driver.StateDead, 0))),
		}
		for name, err := range calls {
			refused := errors.Is(err, driver.ErrUnsupported) && driver.FateOf(err) == driver.FateNotStored && strings.Contains(err.Error(), policy)
			if refused != (policy != "noeviction") {
				t.Errorf("%s with %s: %v", name, policy, err)
			}
		}
		other, err := Open(ctx, server.URL())
		if err == nil {
			closeDriver(t, other)
		}
		if errors.Is(err, driver.ErrUnsupported) != (policy != "noeviction") {
			t.Errorf("Open with %s: %v", policy, err)
		}
		openAt(t, withParam(t, server.URL(), "eviction", "allow"))
	}
}

// firstError is that of the first result, if there is any.
func firstError(results []driver.Result) error {
	if len(results) == 0 {
		return nil
	}
	return results[0].Err
}
