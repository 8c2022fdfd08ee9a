package amqp

import (
	"fmt"
	"testing"

	"github.com/batch-go/batch/driver"
)

// A session remembers what is held, not what was done meanwhile.
func TestHeldIsBounded(t *testing.T) {
	d := open(t)
	q := queue(t, d)
	c := consume(t, d, q, 100)
	enqueue(t, d, q, message("long"))
	long := receive(t, c)
	s := c.(*consumer).session
	most := 0
	for round := range 20 {
		var batch []*driver.Message
		for i := range 100 {
			batch = append(batch, message(fmt.Sprintf("%d-%d", round, i)))
		}
		enqueue(t, d, q, batch...)
		for done := 0; done < len(batch); {
			got, err := c.Receive(testContext(t), 100)
			if err != nil {
				t.Fatal(err)
			}
			settlements := make([]driver.Settlement, len(got))
			for i, delivery := range got {
				settlements[i] = driver.Settlement{Delivery: delivery, Outcome: driver.OutcomeDone}
			}
			for _, err := range c.Settle(testContext(t), settlements) {
				t.Fatal(err)
			}
			done += len(got)
		}
		s.mu.Lock()
		most = max(most, s.held.size)
		s.mu.Unlock()
	}
	if most > 100 {
		t.Errorf("%d receipts are kept while one job is held", most)
	}
	settle(t, c, driver.Settlement{Delivery: long, Outcome: driver.OutcomeDone})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != (receipts{}) {
		t.Errorf("nothing is held, and kept is %+v", s.held)
	}
}

// The list of receipts is in order, whichever is removed.
func TestReceipts(t *testing.T) {
	for remove := range 4 {
		var l receipts
		all := make([]*receipt, 4)
		for i := range all {
			all[i] = &receipt{tag: uint64(i)}
			l.push(all[i])
		}
		l.remove(all[remove])
		want := fmt.Sprint(append(append([]*receipt(nil), all[:remove]...), all[remove+1:]...))
		var forth, back []*receipt
		for r := l.first; r != nil; r = r.after {
			forth = append(forth, r)
		}
		for r := l.last; r != nil; r = r.before {
			back = append([]*receipt{r}, back...)
		}
		if fmt.Sprint(forth) != want || fmt.Sprint(back) != want || l.size != 3 {
			t.Errorf("without %d: %v forth, %v back, %d", remove, forth, back, l.size)
		}
	}
}
