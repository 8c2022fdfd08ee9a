package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/examples/orders/payments"
	"github.com/batch-go/batch/examples/orders/shop"
	"github.com/batch-go/batch/internal/brokers"
)

// everyBroker kills on every broker, and not on the database and on Redis alone.
var everyBroker = flag.Bool("all-brokers", false, "kill on every broker")

// carriers are what BROKER_URL names, and how to get one. The database is the empty URL.
var carriers = []struct {
	name   string
	always bool
	url    func(t *testing.T) string
	env    []string
}{
	{name: "postgres", always: true, url: func(*testing.T) string { return "" }, env: []string{"LEASE=5s"}},
	{name: "redis", always: true, url: func(t *testing.T) string { return brokers.NewRedis(t, brokers.Redis8).URL() }, env: []string{"LEASE=5s"}},
	{name: "rabbitmq", url: func(t *testing.T) string { return brokers.NewRabbitMQ(t, brokers.RabbitMQ4).URL() }},
	{name: "nats", url: func(t *testing.T) string { return brokers.NewNATS(t, brokers.NATS2).URL() }, env: []string{"LEASE=5s"}},
	{name: "sqs", url: func(t *testing.T) string {
		server := brokers.OwnOrSQS(t)
		u := url.URL{
			Scheme: "sqs", User: url.UserPassword(server.Username, server.Password), Host: brokers.SQSRegion, Path: "/",
			RawQuery: url.Values{"endpoint": {server.URL()}}.Encode(),
		}
		return u.String()
	}, env: []string{"LEASE=5s"}},
}

// kills is how many processes are killed on each broker.
const kills = 24

// TestPaidOnceWhateverIsKilled kills the API, the workers and the movers in them with SIGKILL while clients order, and the
// database too, lets all finish, and counts.
func TestPaidOnceWhateverIsKilled(t *testing.T) {
	for _, carrier := range carriers {
		if !carrier.always && !*everyBroker {
			continue
		}
		t.Run(carrier.name, func(t *testing.T) {
			random := seeded(t)
			database := brokers.NewPostgreSQL(t, brokers.PostgreSQL17)
			provider := new(payments.Provider)
			bank := httptest.NewServer(&unreliable{provider: provider, random: rand.New(rand.NewPCG(random.Uint64(), 0))})
			t.Cleanup(bank.Close)
			broker := carrier.url(t)
			env := append([]string{"DATABASE_URL=" + database.URL(), "BROKER_URL=" + broker, "PAYMENTS_URL=" + bank.URL}, carrier.env...)
			pool := tables(t, database.URL())

			processes := []*process{start(t, "api", env...), start(t, "worker", env...), start(t, "worker", env...)}
			c := &clients{t: t, api: processes[0], confirmed: make(map[int64]string), client: &http.Client{
				Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			stop := make(chan struct{})
			var ordering sync.WaitGroup
			for i := range 3 {
				ordering.Go(func() { c.run(ctx, stop, fmt.Sprint("client-", i)) })
			}
			killed := destroy(ctx, t, random, processes, database)
			close(stop)
			ordering.Wait()
			if ctx.Err() != nil {
				t.Fatal("the clients had no answers in time")
			}
			settle(ctx, t, pool, processes, database.URL(), broker)
			count(ctx, t, pool, c, provider)
			t.Logf("killed %v; %d charges, %d orders confirmed, %d of them after requests that failed", killed, len(provider.Charges()), len(c.confirmed), c.repeats)
		})
	}
}

// seeded is where chance comes from: the seed in BATCH_SEED, or a new one, which is printed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if given := os.Getenv("BATCH_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("BATCH_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, seed))
}

// tables makes the shop's tables, and changes them so that they hide nothing: a second payment of an order is stored, and not
// refused by its key, an order of nothing is refused no sooner than at the commit, and an order is noted whose transaction
// has not stored its job.
func tables(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	db, err := shop.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close(context.Background()) })
	if _, err := db.Pool.Exec(t.Context(), `ALTER TABLE shop.payments DROP CONSTRAINT payments_pkey;
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'nothing was ordered'; END $$;
		CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON shop.orders DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW WHEN (NEW.item = 'void') EXECUTE FUNCTION refuse();
		CREATE TABLE alone (order_id bigint);
		CREATE FUNCTION notice() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO alone SELECT NEW.id WHERE NOT EXISTS (
				SELECT FROM batch.jobs j WHERE j.id = 'order-' || NEW.id AND j.xmin = pg_current_xact_id()::xid);
			RETURN NULL;
		END $$;
		CREATE CONSTRAINT TRIGGER notice AFTER INSERT ON shop.orders DEFERRABLE INITIALLY DEFERRED
			FOR EACH ROW EXECUTE FUNCTION notice();`); err != nil {
		t.Fatal(err)
	}
	return db.Pool
}

// destroy kills processes at random, each at some time after it began to run, and starts them again. Halfway it crashes the
// database. It returns how often each role was killed.
func destroy(ctx context.Context, t *testing.T, random *rand.Rand, processes []*process, database *brokers.Instance) map[string]int {
	t.Helper()
	killed := make(map[string]int)
	for i := range kills {
		if i == kills/2 {
			if err := database.Crash(ctx); err != nil {
				t.Fatal(err)
			}
			killed["database"]++
		}
		p := processes[random.IntN(len(processes))]
		p.runs(t)
		select {
		case <-time.After(time.Duration(random.IntN(1000)) * time.Millisecond):
		case <-ctx.Done():
			t.Fatal("the kills take too long")
		}
		p.kill()
		p.again(t)
		killed[p.role]++
	}
	return killed
}

// unreliable is the way to the provider: slow, and some answers are lost although the money was taken.
type unreliable struct {
	provider *payments.Provider
	mu       sync.Mutex // guards random
	random   *rand.Rand
}

// ServeHTTP lets the provider charge, and then perhaps loses the answer.
func (u *unreliable) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.mu.Lock()
	pause, lost := time.Duration(u.random.IntN(40))*time.Millisecond, u.random.IntN(10) == 0
	u.mu.Unlock()
	if !lost {
		select {
		case <-time.After(pause):
		case <-r.Context().Done():
		}
		u.provider.ServeHTTP(w, r)
		return
	}
	u.provider.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler) // the connection ends without an answer
}

// await returns when something is the case. The processes are kept running meanwhile.
func await(ctx context.Context, t *testing.T, processes []*process, what string, good func() (bool, string)) {
	t.Helper()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		ok, state := good()
		if ok {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("in vain: %s: %s", what, state)
		}
		for _, p := range processes {
			p.runs(t)
		}
	}
}

// settle returns when every order has a payment, no job is left at any of the URLs, also of those that came twice, and the
// processes have stopped. The workers take jobs from the last URL.
func settle(ctx context.Context, t *testing.T, pool *pgxpool.Pool, processes []*process, urls ...string) {
	t.Helper()
	await(ctx, t, processes, "every order is paid", func() (bool, string) {
		var unpaid int
		err := pool.QueryRow(ctx, `SELECT count(*) FROM shop.orders WHERE id NOT IN (SELECT order_id FROM shop.payments)`).Scan(&unpaid)
		return err == nil && unpaid == 0, fmt.Sprintf("%d unpaid, %v", unpaid, err)
	})
	urls = slices.DeleteFunc(urls, func(url string) bool { return url == "" })
	again(ctx, t, pool, urls[len(urls)-1])
	for _, url := range urls {
		empty(ctx, t, url, processes)
	}
	for _, p := range processes {
		p.stops(t)
	}
}

// again stores jobs a second time that are done, as a broker may have them whose confirmation was lost: kills seldom meet the
// moment between a payment and the end of its job.
func again(ctx context.Context, t *testing.T, pool *pgxpool.Pool, url string) {
	t.Helper()
	d, err := batch.Open[batch.Driver](ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	q := batch.NewQueue(d, shop.Charges)
	rows, err := pool.Query(ctx, `SELECT order_id FROM shop.payments ORDER BY order_id DESC LIMIT 20`)
	if err != nil {
		t.Fatal(err)
	}
	orders, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		t.Fatal(err)
	}
	for _, order := range orders {
		if _, err := q.Enqueue(ctx, shop.ChargeOrder{Order: order}, batch.ID(q, shop.Name(order))); err != nil {
			t.Fatal(err)
		}
	}
}

// empty returns when a broker has no job to be done. A job that was there twice may be so for as long as the lease of who died
// with it.
func empty(ctx context.Context, t *testing.T, url string, processes []*process) {
	t.Helper()
	d, err := batch.Open[batch.Driver](ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	q := batch.NewQueue(d, shop.Charges)
	var depth batch.Depth
	await(ctx, t, processes, "the queue is empty", func() (bool, string) {
		depth, err = q.Depth(ctx) // a count that the broker cannot tell is negative
		return err == nil && depth.Waiting <= 0 && depth.Running <= 0 && depth.Scheduled <= 0, fmt.Sprintf("%+v, %v", depth, err)
	})
	if depth.Dead != 0 {
		t.Errorf("%s has dead letters: %+v", d.Info().Driver, depth)
	}
}

// count counts orders, payments and charges.
func count(ctx context.Context, t *testing.T, pool *pgxpool.Pool, c *clients, provider *payments.Provider) {
	t.Helper()
	rows, err := pool.Query(ctx, `SELECT o.id, o.key, count(p.order_id), coalesce(min(p.charge), '') FROM shop.orders o
		LEFT JOIN shop.payments p ON p.order_id = o.id GROUP BY o.id`)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	charged, charges := make(map[int64]string), provider.Charges()
	for _, charge := range charges {
		if other := charged[charge.Order]; other != "" {
			t.Errorf("order %d was charged twice: %s and %s", charge.Order, other, charge.ID)
		}
		charged[charge.Order] = charge.ID
	}
	stored := make(map[int64]bool)
	for rows.Next() {
		var id int64
		var key, charge string
		var paid int
		if err := rows.Scan(&id, &key, &paid, &charge); err != nil {
			t.Fatal(err)
		}
		stored[id] = true
		if paid != 1 || charge != charged[id] {
			t.Errorf("order %d (%s) has %d payments of charge %q, and was charged as %q", id, key, paid, charge, charged[id])
		}
		if want := c.confirmed[id]; want != "" && want != key {
			t.Errorf("order %d has the key %s, and was confirmed for %s", id, key, want)
		}
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	for id, key := range c.confirmed {
		if !stored[id] {
			t.Errorf("order %d (%s) was confirmed and is not there", id, key)
		}
	}
	for id := range charged {
		if !stored[id] {
			t.Errorf("order %d was charged and is not there", id)
		}
	}
	var alone int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM alone`).Scan(&alone); err != nil || alone != 0 {
		t.Errorf("%d orders were committed without their job, %v", alone, err)
	}
	var payments int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM shop.payments`).Scan(&payments); err != nil || payments != len(stored) || len(stored) < 3*kills {
		t.Errorf("%d payments of %d orders, %v", payments, len(stored), err)
	}
}
