package databases

import (
	"bufio"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/redis"
	"github.com/batch-go/batch/internal/brokers"
	"github.com/batch-go/batch/outbox"
)

// childVariable has what a child process is to relay.
const childVariable = "BATCH_TEST_OUTBOX"

// child is a relay in a process of its own, which can be killed.
type child struct {
	Client, Source, Table, Target string
	Dialect                       outbox.Dialect
}

// relayInChild runs a relay, and does not return, if this is the process of one.
func relayInChild() {
	text := os.Getenv(childVariable)
	if text == "" {
		return
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	fmt.Fprintln(os.Stderr, c.run())
	os.Exit(1)
}

// run relays until it is killed, and says when the lease is its own.
func (c *child) run() error {
	ctx := context.Background()
	db, err := sql.Open(c.Client, c.Source)
	if err != nil {
		return err
	}
	box, err := outbox.New(db, c.Dialect, outbox.Table(c.Table))
	if err != nil {
		return err
	}
	target, err := redis.Open(ctx, c.Target)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r, err := outbox.NewRelay(box, target, outbox.RelayConfig{Interval: 10 * time.Millisecond, Lease: time.Second, Log: log})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// start starts the process, and returns when it has the lease.
func (c *child) start(t *testing.T) (kill func()) {
	t.Helper()
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childVariable+"="+string(text))
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = command.Process.Kill() // it may have ended
		_ = command.Wait()         // with the signal
	})
	t.Cleanup(kill)
	leads := bufio.NewScanner(out)
	if !leads.Scan() {
		t.Fatalf("the relay ended: %v", leads.Err())
	}
	return kill
}

// A thousand transactions, of which a tenth is rolled back, and a relay that is killed twenty times: each job that
// was committed is on the broker once, which remembers what it has imported, and no other.
func TestRelayIsKilled(t *testing.T) {
	const transactions, kills = 1000, 20
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			seed := rand.Uint64()
			t.Logf("the seed is %d", seed)
			random := rand.New(rand.NewPCG(seed, 0))
			source := d.source(t)
			db := openAt(t, d.client, source)
			table := newTable()
			box, err := outbox.New(db, d.dialect, outbox.Table(table))
			if err != nil {
				t.Fatal(err)
			}
			if err := box.Migrate(t.Context()); err != nil {
				t.Fatal(err)
			}
			target := brokers.Redis(t, brokers.Redis8).URL()
			broker, err := redis.Open(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			defer broker.Close(context.Background())
			shop := &shop{db: db, box: box, queue: batch.NewQueue(broker, table)}
			if err := shop.queue.Declare(t.Context()); err != nil {
				t.Fatal(err)
			}
			shop.migrate(t)
			process := &child{Client: d.client, Source: source, Table: table, Target: target, Dialect: d.dialect}
			for n := range kills {
				kill := process.start(t)
				portion := transactions / kills
				shop.orders(t, random, n*portion, portion)
				kill()
			}
			kill := process.start(t)
			empty(t, box)
			kill()
			shop.check(t)
		})
	}
}

// shop has orders in its database, and a job for each.
type shop struct {
	db    *sql.DB
	box   *outbox.Box
	queue *batch.Queue[*redis.Driver]

	mu        sync.Mutex // guards following
	committed map[string]bool
}

// migrate makes the table of orders.
func (s *shop) migrate(t *testing.T) {
	s.committed = make(map[string]bool)
	if _, err := s.db.ExecContext(t.Context(), "CREATE TABLE orders_"+s.queue.Name()+" (n INTEGER NOT NULL PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
}

// orders makes n transactions, each with an order and its job, in four goroutines. A tenth is rolled back.
func (s *shop) orders(t *testing.T, random *rand.Rand, from, n int) {
	t.Helper()
	fails := make([]bool, n)
	for i := range n / 10 {
		fails[i] = true
	}
	random.Shuffle(n, func(i, j int) { fails[i], fails[j] = fails[j], fails[i] })
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := worker; i < n; i += 4 {
				if err := s.order(t.Context(), from+i, fails[i]); err != nil {
					t.Errorf("order %d: %v", from+i, err)
				}
			}
		})
	}
	all.Wait()
}

// order makes one transaction.
func (s *shop) order(ctx context.Context, n int, fails bool) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, "INSERT INTO orders_"+s.queue.Name()+" (n) VALUES (?)", n); err != nil {
		return err
	}
	job, err := outbox.Enqueue(ctx, tx, s.box, s.queue, note{n}, batch.ID(s.queue, id(n)))
	if err != nil {
		return err
	}
	if fails {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed[job] = true
	return nil
}

// check compares the orders with the jobs on the broker.
func (s *shop) check(t *testing.T) {
	t.Helper()
	var orders int
	if err := s.db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM orders_"+s.queue.Name()).Scan(&orders); err != nil {
		t.Fatal(err)
	}
	there := make(map[string]int)
	for cursor := ""; ; {
		page, next, err := batch.ListJobs(t.Context(), s.queue, batch.StateWaiting, cursor, 500)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			there[e.ID]++
		}
		if cursor = next; next == "" {
			break
		}
	}
	missing, ghosts, doubled := 0, 0, 0
	for job := range s.committed {
		if there[job] == 0 {
			missing++
		}
	}
	for job, n := range there {
		if !s.committed[job] {
			ghosts++
		}
		doubled += n - 1
	}
	t.Logf("%d orders, %d jobs; missing %d, ghosts %d, doubled %d", orders, len(there), missing, ghosts, doubled)
	if orders != len(s.committed) || orders != 900 || missing+ghosts+doubled > 0 {
		t.Errorf("%d orders, %d committed, %d jobs; missing %d, ghosts %d, doubled %d", orders, len(s.committed), len(there), missing, ghosts, doubled)
	}
}
