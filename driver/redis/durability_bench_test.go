package redis

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// BenchmarkFailover counts what is lost of a primary that is killed under load, with
// wait_replicas and without, and what 16 callers store in a second meanwhile.
func BenchmarkFailover(b *testing.B) {
	var all, lost [2]int
	for b.Loop() {
		failOverUnderLoad(b, &all, &lost)
	}
	for i, name := range []string{"", "-with-replica"} {
		b.ReportMetric(float64(all[i]), "confirmed"+name)
		b.ReportMetric(float64(lost[i]), "lost"+name)
	}
	b.ReportMetric(0, "ns/op")
}

// failOverUnderLoad adds up what was confirmed and what of that is lost.
func failOverUnderLoad(t testing.TB, all, gone *[2]int) {
	s := brokers.NewRedisSentinel(t, brokers.Redis8)
	ctx := context.Background()
	base := openAt(t, sentinelURL(s))
	queues := map[string]string{"": queue(t, base), "&wait_replicas=1": queue(t, base)}
	confirmed := make(map[string][]string)
	var mu sync.Mutex // guards confirmed
	var load sync.WaitGroup
	for params, q := range queues {
		d := openAt(t, sentinelURL(s)+"&timeout=3s"+params)
		for p := range 8 {
			load.Go(func() {
				for i := 0; ; i++ {
					m := message(fmt.Sprintf("%d-%d", p, i))
					if firstError(d.Enqueue(ctx, q, []*driver.Message{m})) != nil {
						return
					}
					mu.Lock()
					confirmed[params] = append(confirmed[params], m.ID)
					mu.Unlock()
				}
			})
		}
	}
	eventuallyIn(t, 3*bound, "some load", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(confirmed[""]) > 3000 && len(confirmed["&wait_replicas=1"]) > 500
	})
	now := failOver(t, s, load.Wait)
	for i, params := range []string{"", "&wait_replicas=1"} {
		found := stored(t, now, queues[params])
		all[i] += len(confirmed[params])
		for _, id := range confirmed[params] {
			if !found[id] {
				gone[i]++
			}
		}
	}
}

// BenchmarkDurable: what it costs to wait for a replica and for the append-only file, with
// one caller and calls of one and of 500 jobs.
func BenchmarkDurable(b *testing.B) {
	s := brokers.NewRedisSentinel(b, brokers.Redis8)
	for _, fsync := range []string{"everysec", "always"} {
		primary := rawAt(b, "redis://"+s.Master.Addr)
		if err := primary.ConfigSet(context.Background(), "appendfsync", fsync).Err(); err != nil {
			b.Fatal(err)
		}
		for _, params := range []string{"", "&wait_replicas=1", "&wait_aof=true"} {
			d := openAt(b, sentinelURL(s)+params)
			for _, n := range []int{1, 500} {
				ms := benchMessages(n)
				b.Run(fmt.Sprintf("%s%s/%d", fsync, params, n), func(b *testing.B) {
					q := queue(b, d)
					start, calls := time.Now(), 0
					for b.Loop() {
						for begun := time.Now(); time.Since(begun) < 4*benchSlice; calls++ {
							if r := d.Enqueue(context.Background(), q, ms); r != nil {
								b.Fatal(r[0].Err)
							}
						}
					}
					b.ReportMetric(float64(calls*n)/time.Since(start).Seconds(), "jobs/s")
					b.ReportMetric(float64(time.Since(start).Microseconds())/float64(calls), "us/call")
					b.ReportMetric(0, "ns/op")
				})
			}
		}
	}
}
