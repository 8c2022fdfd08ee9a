package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestFates cuts the connection in place of the first answer to a call, the second, and so on, until the call
// succeeds. Each error is typed, and if it says that nothing was done, nothing was; each call has one that does
// not know, after which what it was to do is done.
func TestFates(t *testing.T) {
	t.Parallel()
	own, schema := ownSchema(t, plainURL(t))
	p := newDeaf(t, own)
	d := openAt(t, p.address)
	d.bell.config, d.bell.poll, d.bell.forget = nil, func() { <-d.bell.done }, func() {} // no other answer is under way
	direct := connect(t, plainURL(t))
	count := func(table, where string, args ...any) func() int64 {
		return func() int64 {
			return number(t, direct, `SELECT count(*) FROM `+schema+`.`+table+` WHERE `+where, args...)
		}
	}
	first := func(results []driver.Result) error { return append(results, driver.Result{})[0].Err }
	for name, op := range map[string]func(q string) (call func() error, done func() int64){
		"Enqueue": func(q string) (func() error, func() int64) {
			return func() error { return first(d.Enqueue(testContext(t), q, []*driver.Message{message(q)})) }, count("jobs", "id = $1", q)
		},
		"EnqueueAtomic": func(q string) (func() error, func() int64) {
			return func() error { return d.EnqueueAtomic(testContext(t), q, []*driver.Message{message(q, dedup("k"))}) }, count("jobs", "id = $1", q)
		},
		"Import": func(q string) (func() error, func() int64) {
			e := &driver.Entry{Message: *message(q), State: driver.StateWaiting}
			return func() error { return first(d.Import(testContext(t), q, []*driver.Entry{e})) }, count("jobs", "id = $1", q)
		},
		"Settle": func(q string) (func() error, func() int64) {
			enqueue(t, d, q, message(q))
			c := consume(t, d, q)
			held := receive(t, c, 1)[0]
			return func() error {
				return append(c.Settle(testContext(t), []driver.Settlement{{Delivery: held, Outcome: driver.OutcomeDead, Reason: driver.ReasonPermanent}}), nil)[0]
			}, count("dead", "id = $1", q)
		},
		"Pause": func(q string) (func() error, func() int64) {
			return func() error { return d.Pause(testContext(t), q) }, count("queues", "name = $1 AND paused", q)
		},
		"DeleteQueue": func(q string) (func() error, func() int64) {
			gone := count("queues", "name = $1", q)
			return func() error { return d.DeleteQueue(testContext(t), q) }, func() int64 { return 1 - gone() }
		},
	} {
		carriedOut := false
		for n := int64(1); ; n++ {
			q := fmt.Sprintf("%s-%d", name, n)
			if err := d.Declare(testContext(t), q); err != nil {
				t.Fatal(err)
			}
			call, done := op(q)
			p.arm(n)
			err := call()
			cut := p.left.Load() < 1
			p.arm(0)
			switch fate, times := driver.FateOf(err), done(); {
			case err == nil && times != 1:
				t.Errorf("%s, cut at %d: confirmed, and done %d times", name, n, times)
			case err != nil && !errors.Is(err, driver.ErrUnavailable):
				t.Errorf("%s, cut at %d: %v", name, n, err)
			case err != nil && fate == driver.FateNotStored && times != 0:
				t.Errorf("%s, cut at %d: done, and the error is %v (%s)", name, n, err, fate)
			case err != nil && fate == driver.FateUnknown && times == 1:
				carriedOut = true
			}
			if err == nil && !cut || n > 40 {
				break
			}
		}
		if !carriedOut {
			t.Errorf("%s: no cut came between the commit and its answer", name)
		}
	}
}
