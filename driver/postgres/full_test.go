package postgres

import (
	"errors"
	"testing"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/brokers"
)

// TestFullDisk: while the disk of the jobs is full, an enqueue is ErrFull and stores nothing, in a transaction of
// the application too, and jobs are handed out and end as far as they need no room. What was confirmed is there,
// and when there is room again, the driver goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	server := brokers.NewPostgreSQL(t, brokers.PostgreSQL17)
	d := openAt(t, server.URL())
	// The shared memory of a container is a small file system.
	script(t, server, `mkdir -m 700 /dev/shm/small`)
	conn := connect(t, server.URL())
	run(t, conn, `CREATE TABLESPACE small LOCATION '/dev/shm/small'`)
	run(t, conn, `ALTER TABLE batch.jobs SET TABLESPACE small`)
	q := queue(t, d)
	c := consume(t, d, q)
	body := make([]byte, 256<<10)
	for i := range body { // nothing that could be compressed
		body[i] = byte(i*i>>7 ^ i*7>>3 ^ i)
	}
	large := func(id string) *driver.Message { return message(id, func(m *driver.Message) { m.Body = body }) }
	enqueue(t, d, q, large("before"), large("second"))
	script(t, server, `dd if=/dev/zero of=/dev/shm/fill bs=1k 2>/dev/null || true`)
	stored, refused := 0, 0
	for range 50 {
		r := d.Enqueue(testContext(t), q, []*driver.Message{large("full"), large("full")})
		if r == nil || r[0].Err == nil {
			stored += 2
			continue
		}
		for _, r := range r {
			if !errors.Is(r.Err, driver.ErrFull) || driver.FateOf(r.Err) != driver.FateNotStored {
				t.Errorf("Enqueue: %v", r.Err)
			}
		}
		if refused++; refused == 3 {
			break
		}
	}
	if refused == 0 {
		t.Fatal("the disk is not full")
	}
	if err := d.EnqueueAtomic(testContext(t), q, []*driver.Message{large("full"), large("full")}); !errors.Is(err, driver.ErrFull) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("EnqueueAtomic: %v", err)
	}
	tx, err := connect(t, server.URL()).Begin(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.EnqueueTx(testContext(t), tx, q, []*driver.Message{large("full")}); !errors.Is(err, driver.ErrFull) || driver.FateOf(err) != driver.FateNotStored {
		t.Errorf("EnqueueTx: %v", err)
	}
	_ = tx.Rollback(testContext(t)) // it had failed
	want := int64(2 + stored)
	if got := depth(t, d, q); got.Waiting != want {
		t.Errorf("%d jobs are confirmed, and the depth is %+v", want, got)
	}
	script(t, server, `rm /dev/shm/fill`)
	enqueue(t, d, q, large("after"))
	for n := int64(0); n < want+1; {
		got := receive(t, c, 10)
		n += int64(len(got))
		done(t, c, got...)
	}
	if got := depth(t, d, q); got != (driver.Depth{}) {
		t.Errorf("the depth is %+v", got)
	}
}
