package movers

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/postgres"
	"github.com/batch-go/batch/internal/brokers"
)

var (
	transactions = flag.Int("movers.transactions", 200, "transactions of the application, for each broker; a tenth is rolled back")
	relayKills   = flag.Int("movers.relaykills", 2, "relays that are killed, for each broker")
)

// An application makes transactions, each with a row and a job, and a relay carries the jobs to another broker. However often
// the relay is killed, a job runs there if and only if its row is there.
func TestJobsOfTransactionsAreRelayed(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	if *transactions < 10 || *relayKills < 0 {
		t.Fatalf("-movers.transactions is %d and -movers.relaykills %d: want at least 10 and 0", *transactions, *relayKills)
	}
	results := make([]relayed, len(kinds))
	var all sync.WaitGroup
	for i, to := range kinds {
		if to.name == "postgres" || !*allPairs && to.name != "redis" && to.name != "rabbitmq" {
			continue
		}
		all.Go(func() {
			t.Run(to.name, func(t *testing.T) { results[i] = relayTo(t, to, rand.New(rand.NewPCG(seed, uint64(i)))) })
		})
	}
	all.Wait()
	t.Log("| to | transactions | rolled back | relays killed | at work | missing | ghosts | there twice | done twice |")
	for _, r := range results {
		if r.to != "" {
			t.Logf("| %s | %d | %d | %d | %d | %d | %d | %d | %d |", r.to, *transactions, r.undone, *relayKills, r.atWork, r.missing, r.ghosts, r.doubled, r.twice)
		}
	}
}

// relayed is what became of the transactions.
type relayed struct {
	to                                              string
	undone, atWork, missing, ghosts, doubled, twice int
}

// relayTo makes transactions while relays are killed, and counts.
func relayTo(t *testing.T, to kind, random *rand.Rand) relayed {
	a := assignment{From: brokers.PostgreSQL(t, brokers.PostgreSQL17).URL(), To: to.start(t), Relay: true, Inside: to.inside}
	a.Queue = fmt.Sprintf("relay-%s-%x", to.name, random.Uint32())
	a.ToQueue = a.Queue
	s := openShop(t, a.From, a.Queue)
	fails := make([]bool, *transactions)
	for i := range len(fails) / 10 {
		fails[i] = true
	}
	random.Shuffle(len(fails), func(i, k int) { fails[i], fails[k] = fails[k], fails[i] })
	r := relayed{to: to.name, undone: len(fails) / 10}
	portions := max(*relayKills, 1)
	for n := range portions {
		from, end := n*len(fails)/portions, (n+1)*len(fails)/portions
		if *relayKills == 0 {
			s.orders(t, fails, from, end)
			break
		}
		while := time.Duration(random.IntN(20)) * time.Millisecond
		m, made, killed := a.start(t), make(chan struct{}), make(chan bool, 1)
		go func() {
			_, atWork := m.killAtWork(while, made)
			killed <- atWork
		}()
		s.orders(t, fails, from, end)
		close(made)
		r.atWork += count(<-killed)
	}
	a.Relay = false
	t.Logf("the last mover: %+v", a.start(t).wait(t)) // it waits for the leases of those that were killed
	l := newLedger(len(fails), random)
	stop := l.workOn(t, a.To, a.ToQueue, false)
	ids := slices.Collect(maps.Keys(s.committed))
	l.waitFor(t, ids)
	stop()
	r.missing = l.missing(ids)
	for id, n := range l.runs {
		if !s.committed[id] {
			r.ghosts++
		}
		r.doubled += n - 1
	}
	for id, n := range l.effects {
		if n > 1 {
			r.twice++
			t.Errorf("%s was done %d times", id, n)
		}
	}
	l.tellWrong(t)
	if r.missing > 0 || r.ghosts > 0 || to.remembers() && r.doubled > 0 {
		t.Errorf("to %s: %+v", to.name, r)
	}
	if most := *relayKills * 4 * 100; r.doubled > most {
		t.Errorf("%d jobs are there twice, and the relays that were killed had no more than %d", r.doubled, most)
	}
	return r
}

// shop is an application on PostgreSQL.
type shop struct {
	pool  *pgxpool.Pool
	queue *batch.Queue[*postgres.Driver]
	table string

	mu        sync.Mutex // guards following
	committed map[string]bool
}

// openShop makes its table and its queue.
func openShop(t *testing.T, url, queue string) *shop {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	d, err := postgres.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	s := &shop{pool: pool, queue: batch.NewQueue(d, queue), table: fmt.Sprintf("orders_%x", rand.Uint64()), committed: make(map[string]bool)}
	if _, err := pool.Exec(t.Context(), "CREATE TABLE "+s.table+" (n integer PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	if err := s.queue.Declare(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// orders makes the transactions from one to before another, four at a time.
func (s *shop) orders(t *testing.T, fails []bool, from, to int) {
	var all sync.WaitGroup
	for first := range 4 {
		all.Go(func() {
			for n := from + first; n < to; n += 4 {
				if err := s.order(t.Context(), n, fails[n]); err != nil {
					t.Errorf("order %d: %v", n, err)
				}
			}
		})
	}
	all.Wait()
}

// order makes one.
func (s *shop) order(ctx context.Context, n int, fails bool) error {
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // does nothing after a commit
	if _, err := tx.Exec(ctx, "INSERT INTO "+s.table+" (n) VALUES ($1)", n); err != nil {
		return err
	}
	if _, err := batch.EnqueueTx(ctx, tx, s.queue, task{n}, batch.ID(s.queue, idOf(n)), batch.Header(s.queue, "n", fmt.Sprint(n))); err != nil {
		return err
	}
	if fails {
		return tx.Rollback(ctx)
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed[idOf(n)] = true
	return nil
}
