package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/postgres"
	"github.com/batch-go/batch/internal/brokers"
)

// openGrowing opens a driver on a server of its own, and a connection that looks on.
func openGrowing(b *testing.B) (*postgres.Driver, *pgx.Conn) {
	b.Helper()
	sizes(b)
	server := brokers.NewPostgreSQL(b, brokers.PostgreSQL17, "shared_buffers=512MB")
	d, err := postgres.Open(b.Context(), server.URL())
	must(b, err)
	b.Cleanup(func() { must(b, d.Close(context.Background())) })
	conn, err := pgx.Connect(b.Context(), server.URL())
	must(b, err)
	b.Cleanup(func() { must(b, conn.Close(context.Background())) })
	return d, conn
}

// noteTables prints what the server knows of the tables.
func noteTables(b *testing.B, conn *pgx.Conn) {
	b.Helper()
	rows, err := conn.Query(b.Context(), `SELECT relname::text, n_live_tup, n_dead_tup, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del, autovacuum_count,
		pg_table_size(relid) >> 10, pg_indexes_size(relid) >> 10 FROM pg_stat_user_tables WHERE relname IN ('jobs', 'tallies') ORDER BY 1`)
	must(b, err)
	defer rows.Close()
	for rows.Next() {
		var name string
		var live, dead, inserted, updated, hot, deleted, vacuums, table, indexes int64
		must(b, rows.Scan(&name, &live, &dead, &inserted, &updated, &hot, &deleted, &vacuums, &table, &indexes))
		fmt.Printf("          %s: %d live, %d dead, %d inserted, %d updated (%d in place), %d deleted, %d autovacuums, table %d kB, indexes %d kB\n",
			name, live, dead, inserted, updated, hot, deleted, vacuums, table, indexes)
	}
	must(b, rows.Err())
}

// BenchmarkGrowthPostgreSQL is a backlog on PostgreSQL.
func BenchmarkGrowthPostgreSQL(b *testing.B) {
	d, conn := openGrowing(b)
	g := &grower{b: b, d: d}
	g.note = func(what string, _ int) {
		if what == "fill" || what == "6 s" {
			noteTables(b, conn)
		}
	}
	g.run()
}

// BenchmarkGrowthPostgreSQLTurnover has as many jobs go through a queue as the sizes say, with a backlog of
// a thousand: what they leave behind, and whether the last take longer than the first.
func BenchmarkGrowthPostgreSQLTurnover(b *testing.B) {
	d, conn := openGrowing(b)
	g := &grower{b: b, d: d}
	must(b, d.Declare(b.Context(), "growth"))
	c, err := d.Consume(b.Context(), "growth", driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 100})
	must(b, err)
	g.fill(1000)
	for _, size := range sizes(b) {
		start, before := time.Now(), g.n
		for g.n < size {
			list := g.messages(500, 0)
			var both sync.WaitGroup
			both.Go(func() { g.enqueue(list) })
			both.Go(func() { g.process(c, len(list)) })
			both.Wait()
		}
		fmt.Printf("%9d went through, at %.0f/s\n", size, float64(g.n-before)/time.Since(start).Seconds())
		noteTables(b, conn)
		time.Sleep(70 * time.Second) // for the autovacuum, which looks once a minute
		fmt.Printf("%9d and a minute later\n", size)
		noteTables(b, conn)
	}
	must(b, c.Close(b.Context()))
}
