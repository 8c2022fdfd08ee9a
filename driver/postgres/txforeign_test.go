package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/batch-go/batch/driver"
)

// twoHomes are drivers on two databases or schemas, each of which has handed out a job of queue "orders" with the same number,
// and a connection string for the second.
type twoHomes struct {
	drivers   [2]*Driver
	consumers [2]driver.Consumer
	held      [2]*driver.Delivery
	second    string
}

// inHomes opens drivers at two addresses.
func inHomes(t *testing.T, second string, addresses ...string) *twoHomes {
	t.Helper()
	h := &twoHomes{second: second}
	for i, address := range addresses {
		d := openAt(t, address)
		if err := d.Declare(testContext(t), "orders"); err != nil {
			t.Fatal(err)
		}
		enqueue(t, d, "orders", message(fmt.Sprint("tenant-", i)))
		c := consume(t, d, "orders")
		h.drivers[i], h.consumers[i], h.held[i] = d, c, receive(t, c, 1)[0]
	}
	one, _ := receiptOf(h.held[0])
	two, _ := receiptOf(h.held[1])
	if one.seq != two.seq || one.token != two.token {
		t.Fatalf("the jobs have the numbers %d and %d, the tokens %d and %d", one.seq, two.seq, one.token, two.token)
	}
	return h
}

// homes are two schemas of one database, and a database with its copy, whose schemas have the same identity.
func homes(t *testing.T) map[string]*twoHomes {
	t.Helper()
	one, _ := ownSchema(t, plainURL(t))
	two, _ := ownSchema(t, plainURL(t))
	name := newName()
	home := newDatabase(t, name, "template0")
	if err := Migrate(testContext(t), home); err != nil {
		t.Fatal(err)
	}
	copied := newDatabase(t, name+"_copy", name)
	return map[string]*twoHomes{"another schema": inHomes(t, plainURL(t), one, two), "a copy": inHomes(t, copied, home, copied)}
}

// TestDeliveryOfAnotherSchema: a delivery of one schema, or of a copy of the database, settles, extends or completes no job of
// another, whose queue has the same name and whose job the same number.
func TestDeliveryOfAnotherSchema(t *testing.T) {
	t.Parallel()
	for name, h := range homes(t) {
		tx, err := connect(t, h.second).BeginTx(testContext(t), pgx.TxOptions{})
		if err != nil {
			t.Fatal(err)
		}
		both := []*driver.Delivery{h.held[0], h.held[1]}
		extended := h.consumers[1].Extend(testContext(t), both)
		settled := h.consumers[1].Settle(testContext(t), []driver.Settlement{{Delivery: h.held[0], Outcome: driver.OutcomeDone}})
		if len(extended) != 2 || extended[1] != nil || len(settled) != 1 {
			t.Fatalf("%s: Extend of a foreign delivery and its own says %v, Settle of a foreign one %v", name, extended, settled)
		}
		notHere(t, "Extend with "+name, extended[0])
		notHere(t, "Settle with "+name, settled[0])
		notHere(t, "CompleteTx with "+name, h.drivers[1].CompleteTx(testContext(t), tx, h.held[0]))
		if err := h.drivers[1].CompleteTx(testContext(t), tx, h.held[1]); err != nil {
			t.Errorf("%s: the transaction does not go on: %v", name, err)
		}
		if err := tx.Commit(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if first, second := depth(t, h.drivers[0], "orders"), depth(t, h.drivers[1], "orders"); first.Running != 1 || second != (driver.Depth{}) {
			t.Errorf("%s: there are %+v and %+v", name, first, second)
		}
		done(t, h.consumers[0], h.held[0])
	}
}

// TestDeliveryOfAnotherHandle: any driver of the schema settles and completes what another of its drivers was handed.
func TestDeliveryOfAnotherHandle(t *testing.T) {
	t.Parallel()
	own, _ := ownSchema(t, plainURL(t))
	one, two := openAt(t, own), openAt(t, own)
	q := queue(t, one)
	enqueue(t, one, q, many(2)...)
	got := receive(t, consume(t, one, q), 2)
	done(t, consume(t, two, q), got[0])
	tx := begin(t, pgx.ReadCommitted)
	if err := two.SQL().CompleteTx(testContext(t), nil, got[1]); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("without a transaction: %v", err)
	}
	if err := two.CompleteTx(testContext(t), tx, got[1]); err != nil {
		t.Error(err)
	}
	if err := tx.Commit(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if got := depth(t, one, q); got != (driver.Depth{}) {
		t.Errorf("the depth is %+v", got)
	}
}
