package conformance

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/idempotency"
)

// Harness is what the suite needs to know of a driver. Only Open is required.
type Harness struct {
	// Open connects to the broker: each call makes a new handle, as another
	// process would have it, on the same broker. All handles must be of the same
	// type. It is called concurrently, and the suite closes what it returns.
	Open func(ctx context.Context) (driver.Driver, error)

	// Broker describes in a few words what the handles connect to, for the
	// summary: "cluster of three in containers". Defaults to nothing; name and
	// version come from Info.
	Broker string

	// URL opens the same broker by batch.Open. The driver's package must have
	// registered itself. If it is empty, what concerns URLs is not checked.
	URL string

	// Lease is what consumers are opened with in the cases that are about leases,
	// on drivers that have them. Many of those wait for one or more. Defaults to
	// the larger of two seconds and Limits.MinLease.
	Lease time.Duration

	// Slack is by how much more than promised something may be late before it is
	// a violation. Defaults to a second. It never excuses what is early. What has
	// no bound but should come at once is waited for fifteen times as long.
	Slack time.Duration

	// Timeout bounds one case. Defaults to a minute plus ten leases, and Hidden.
	Timeout time.Duration

	// Parallel is how many cases run at once. Most of the time they wait, so it
	// need not follow the number of processors. Defaults to 16.
	Parallel int

	// Waiting is Parallel for the cases about time, which run after the others and do
	// little but wait. More is for brokers that are slow at work, and not late when there
	// is little of it. Defaults to Parallel.
	Waiting int

	// Foreign puts something into the queue that is no job, as a foreign producer
	// or a damaged disk would: with the body, but without what the driver needs
	// to read it. The queue is declared. Nil if that cannot be done: what the
	// driver makes of such entries is not checked then.
	Foreign func(ctx context.Context, queue string, body []byte) error

	// Secrets are the credentials that Open uses, each so long that no text has it by
	// accident: passwords, tokens, keys. Nothing that the driver returns may show one. Nil
	// if it needs none: what it prints is not checked then.
	Secrets []string

	// CoarseCounts says why this broker's count of the jobs that wait may lag behind
	// by more than Slack, or be ahead of a delay. What such counts say of delayed jobs
	// is not checked then. Empty if it is exact.
	CoarseCounts string

	// BehindBacklog says why this broker hands out a job that comes back, because its
	// holder vanished or released it, behind newer ones of its level. It excuses nothing
	// else. Empty if the job comes first.
	BehindBacklog string

	// Hidden is how long a dead letter stays out of reach when the answer of a call that
	// looked at it was lost, on a broker where looking is receiving. Zero if it does not.
	Hidden time.Duration

	// StopCounts says why this broker may count a lost holder, once, of a job that it
	// was about to hand to a consumer as that was stopped, and that was not handed to
	// it any more. It excuses nothing else. Empty if the broker does not.
	StopCounts string

	// Restart ends the broker as a crash would, starts it again with what it had
	// stored, and returns when it can be connected to. Nil if that cannot be
	// done. Cases that restart the broker run after all others, alone.
	Restart func(ctx context.Context) error

	// Freeze stops the broker from answering, without closing connections, until
	// thaw is called. Nil if that cannot be done. Cases that freeze the broker
	// run after all others, alone.
	Freeze func(ctx context.Context) (thaw func(), err error)

	// Cut breaks every connection to the broker, which goes on. Nil if that
	// cannot be done. Cases that cut connections run after all others, alone.
	Cut func(ctx context.Context) error

	// Transactions begins transactions of an application in the database that is the broker;
	// see [TransactionsOf]. It is needed for a driver that takes them, and not used for
	// others.
	Transactions *Transactions

	// OtherTransactions begins transactions of another database of that kind, which has no
	// queues of this broker. Nil if there is none: what the driver does with such a
	// transaction is not checked then.
	OtherTransactions *Transactions

	// OpenOther opens a driver as Open does, on queues that are not those of Open, in another
	// schema or database of that kind: a queue of each may have the same name. Nil if that cannot
	// be done: what the driver does with a delivery of the other is not checked then.
	OpenOther func(ctx context.Context) (driver.Driver, error)

	// Store makes a store for a case about idempotency: each call another, which shares
	// no keys with those before. It is called concurrently. Nil for stores in memory.
	Store func(ctx context.Context) (idempotency.Store, error)

	// Addr is where the broker listens on TCP, host:port, and OpenAt does what Open
	// does by way of another address that leads there: the suite puts a proxy in
	// between, one for each handle, which cuts, resets, delays, holds back and forgets
	// connections (see package proxy). Bytes pass as they are, TLS too. These cases
	// disturb nobody else, so most run beside others. OpenAt is nil if the broker has
	// no such address, or if it tells its clients of others, as a cluster does.
	Addr   string
	OpenAt func(ctx context.Context, addr string) (driver.Driver, error)

	// FreezeOne is Freeze for one of several servers that are one broker and go on
	// without any one of them: the one at index, from 0, of Servers. Nil if that cannot
	// be done. Such cases run after all others, alone.
	FreezeOne func(ctx context.Context, index int) (thaw func(), err error)

	// Servers is how many servers there are, if each job is stored by several: cases in
	// which the driver is to turn pages fill smaller ones then. Zero, the default, is for
	// all other brokers.
	Servers int
}

// open is Open. That it makes nothing is an error, too.
func (h *Harness) open(ctx context.Context) (driver.Driver, error) {
	d, err := h.Open(ctx)
	return d, unmade("Harness.Open", d, err)
}

// openAt is OpenAt. That it makes nothing is an error, too.
func (h *Harness) openAt(ctx context.Context, addr string) (driver.Driver, error) {
	d, err := h.OpenAt(ctx, addr)
	return d, unmade("Harness.OpenAt", d, err)
}

// openOther is OpenOther. That it makes nothing is an error, too.
func (h *Harness) openOther(ctx context.Context) (driver.Driver, error) {
	d, err := h.OpenOther(ctx)
	return d, unmade("Harness.OpenOther", d, err)
}

// unmade is the error of a function that makes drivers, also if it returned nothing.
func unmade(field string, d driver.Driver, err error) error {
	if err == nil && d == nil {
		return fmt.Errorf("conformance: %s returned neither a driver nor an error", field)
	}
	return err
}

// withDefaults fills in what was left open, for a driver with these limits.
func (h Harness) withDefaults(limits driver.Limits) (Harness, error) {
	if h.Open == nil {
		return h, errors.New("conformance: Harness.Open is nil")
	}
	if h.OpenAt != nil && h.Addr == "" {
		return h, errors.New("conformance: Harness.OpenAt needs Addr, where the broker listens")
	}
	if h.OpenAt == nil && h.Addr != "" {
		return h, errors.New("conformance: Harness.Addr is for OpenAt, which is nil: with Addr alone, nothing is tested on a network that fails")
	}
	if h.FreezeOne != nil && h.Servers < 2 {
		return h, errors.New("conformance: Harness.FreezeOne needs Servers, of which there are several")
	}
	if min(h.Slack, h.Lease, h.Timeout, h.Hidden) < 0 || min(h.Parallel, h.Waiting, h.Servers) < 0 {
		return h, errors.New("conformance: Parallel, Waiting, Servers, Slack, Lease, Timeout or Hidden of the Harness is below zero")
	}
	switch {
	case limits.MaxLease == 0:
		h.Lease = 0
	case h.Lease == 0:
		h.Lease = min(max(2*time.Second, limits.MinLease), limits.MaxLease)
	}
	if h.Slack == 0 {
		h.Slack = time.Second
	}
	if h.Timeout == 0 {
		h.Timeout = time.Minute + 10*h.Lease + h.Hidden
		if soak() {
			h.Timeout += time.Hour
		}
	}
	if h.Parallel == 0 {
		h.Parallel = 16
	}
	if h.Waiting == 0 {
		h.Waiting = h.Parallel
	}
	return h, nil
}

// transacts is nil if the harness can begin the transactions that the driver takes.
func (h *Harness) transacts(d driver.Driver) error {
	t, ok := d.(driver.Transactional)
	if !ok {
		return nil
	}
	of := t.TxType()
	if h.Transactions == nil {
		return fmt.Errorf("conformance: %T takes transactions, so Harness.Transactions must begin some, of type %s", d, of)
	}
	for field, given := range map[string]*Transactions{"Transactions": h.Transactions, "OtherTransactions": h.OtherTransactions} {
		switch {
		case given == nil:
		case given.of != of:
			return fmt.Errorf("conformance: Harness.%s begins transactions of type %s, and TxType of %T says %s", field, given.of, d, of)
		case !given.taken(d):
			return fmt.Errorf("conformance: TxType of %T says %s, and it is no driver.TxEnqueuer of these", d, of)
		}
	}
	return nil
}

// soakVariable makes cases run in full that else take a sample, if it is set.
const soakVariable = "BATCH_CONFORMANCE_SOAK"

// soak tells whether they do.
func soak() bool { return os.Getenv(soakVariable) != "" }

// LikeAnother leaves out the cases that disturb the network: they take as long as all
// others, and this driver and broker differ from those of another harness that has them by
// what the network does not see. With BATCH_CONFORMANCE_SOAK=1 it leaves out none.
func (h *Harness) LikeAnother() {
	if !soak() {
		h.Addr, h.OpenAt = "", nil
	}
}
