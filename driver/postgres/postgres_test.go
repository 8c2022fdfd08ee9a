package postgres

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// bound is how long a test waits for what should come at once.
const bound = 10 * time.Second

// serial makes the names of schemas and queues differ.
var serial atomic.Int64

// testContext ends with the test, or when that takes too long.
func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// withParams adds parameters to a URL, each a name and a value.
func withParams(t testing.TB, raw string, params ...string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	for i := 0; i < len(params); i += 2 {
		q.Set(params[i], params[i+1])
	}
	u.RawQuery = q.Encode()
	return u.String()
}

// asRole is a URL with a user and a password.
func asRole(t testing.TB, raw, user, password string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// plainURL is the server to test against, without the driver's parameters.
func plainURL(t testing.TB) string {
	t.Helper()
	return brokers.PostgreSQL(t, brokers.PostgreSQL17).URL()
}

// newName is a name that no other test has.
func newName() string {
	return fmt.Sprintf("t_%d_%d_%d", os.Getpid(), time.Now().UnixMilli(), serial.Add(1))
}

// ownSchema is a URL with a schema that the test drops when it ends.
func ownSchema(t testing.TB, raw string) (own, schema string) {
	t.Helper()
	schema = newName()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		conn, err := pgx.Connect(ctx, raw)
		if err != nil {
			return // the server is gone, and the schema with it
		}
		defer conn.Close(ctx)
		if _, err := conn.Exec(ctx, `DROP SCHEMA IF EXISTS `+schema+` CASCADE`); err != nil {
			t.Error(err)
		}
	})
	return withParams(t, raw, "schema", schema), schema
}

// open opens a driver on a schema of its own that the test closes.
func open(t testing.TB, params ...string) *Driver {
	t.Helper()
	own, _ := ownSchema(t, plainURL(t))
	return openAt(t, withParams(t, own, params...))
}

// openAt opens a driver by its URL, and the test closes it.
func openAt(t testing.TB, address string) *Driver {
	t.Helper()
	d, err := Open(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeDriver(t, d) })
	return d
}

// closeDriver closes a driver within the bound.
func closeDriver(t testing.TB, d *Driver) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	if err := d.Close(ctx); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// connect is a connection of the application's.
func connect(t testing.TB, address string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(testContext(t), address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), bound)
		defer cancel()
		_ = conn.Close(ctx) // the test may have cut it
	})
	return conn
}

// run runs a statement.
func run(t testing.TB, conn *pgx.Conn, text string, args ...any) {
	t.Helper()
	if _, err := conn.Exec(testContext(t), text, args...); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}

// number is the result of a query.
func number(t testing.TB, conn *pgx.Conn, text string, args ...any) int64 {
	t.Helper()
	var n int64
	if err := conn.QueryRow(testContext(t), text, args...).Scan(&n); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return n
}

// queue declares a queue.
func queue(t testing.TB, d *Driver) string {
	t.Helper()
	q := fmt.Sprintf("q-%d", serial.Add(1))
	if err := d.Declare(testContext(t), q); err != nil {
		t.Fatal(err)
	}
	return q
}

// consume opens a consumer that the driver closes.
func consume(t testing.TB, d *Driver, q string) driver.Consumer {
	t.Helper()
	c, err := d.Consume(testContext(t), q, driver.ConsumeOptions{Lease: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// message makes a job named id; edit changes it.
func message(id string, edit ...func(*driver.Message)) *driver.Message {
	m := &driver.Message{ID: id, Kind: "test", Body: []byte(`{"id":"` + id + `"}`), ContentType: "application/json", EnqueuedAt: time.UnixMilli(time.Now().UnixMilli()).UTC()}
	for _, e := range edit {
		e(m)
	}
	return m
}

// dedup sets a message's key.
func dedup(k string) func(*driver.Message) { return func(m *driver.Message) { m.DedupKey = k } }

// many makes n messages.
func many(n int) []*driver.Message {
	all := make([]*driver.Message, n)
	for i := range all {
		all[i] = message(fmt.Sprintf("m%d", i))
	}
	return all
}

// enqueue stores messages, and checks that none is a duplicate.
func enqueue(t testing.TB, d *Driver, q string, messages ...*driver.Message) {
	t.Helper()
	for i, r := range d.Enqueue(testContext(t), q, messages) {
		if r.Err != nil || r.Duplicate {
			t.Fatalf("enqueue %s: %+v", messages[i].ID, r)
		}
	}
}

// receive waits for jobs.
func receive(t testing.TB, c driver.Consumer, max int) []*driver.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(testContext(t), bound)
	defer cancel()
	all, err := c.Receive(ctx, max)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// done settles deliveries as done.
func done(t testing.TB, c driver.Consumer, deliveries ...*driver.Delivery) {
	t.Helper()
	all := make([]driver.Settlement, len(deliveries))
	for i, d := range deliveries {
		all[i] = driver.Settlement{Delivery: d, Outcome: driver.OutcomeDone}
	}
	for _, err := range c.Settle(testContext(t), all) {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// depth is what Depth says of a queue.
func depth(t testing.TB, d *Driver, q string) driver.Depth {
	t.Helper()
	got, err := d.Depth(testContext(t), q)
	if err != nil {
		t.Fatal(err)
	}
	return got
}
