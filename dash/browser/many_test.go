package browser_test

import (
	"fmt"
	"testing"
)

// The size of what should stay usable.
const (
	manyQueues  = 1000
	manyLetters = 100_000
)

// The most that one page may ask a broker for: a page of jobs and a sample of a thousand for the summary, in steps.
const (
	mostCalls = 30
	mostJobs  = 2100
	mostPage  = 512 << 10 // bytes that are sent to the browser
)

// weight is how many bytes the page was sent as.
func (b *tab) weight() int {
	b.t.Helper()
	return eval[int](b, `performance.getEntriesByType("navigation")[0].transferSize`)
}

// TestManyLetters: a hundred thousand dead letters in a queue of Redis cost a page no more than a thousand do, and are filtered,
// paged through and redriven.
func TestManyLetters(t *testing.T) {
	t.Parallel()
	d := count(t, onRedis(t, 2))
	put(t, d, "many", dead(manyLetters)...)
	c := everything()
	c.Queues = []string{"many"}
	s := serve(t, d, c)
	b := open(t, desk)
	look := func(what string, do func()) {
		t.Helper()
		got := d.during(do)
		reads := got.calls["DeadLetters"] + got.calls["List"] + got.calls["Find"]
		t.Logf("%s: %d reads of %d jobs, %d bytes; the page has %d bytes", what, reads, got.jobs, got.bytes, b.weight())
		if reads > mostCalls || got.jobs > mostJobs || b.weight() > mostPage {
			t.Errorf("%s costs %d reads of %d jobs, and a page of %d bytes", what, reads, got.jobs, b.weight())
		}
	}
	look("the list of queues", func() {
		b.visit(s.url)
		b.sees("100,000 dead")
	})
	look("the first page", func() {
		b.visit(s.url + "queues/many/dead")
		b.sees("Of the oldest 1,000", "dead-000000")
	})
	for page := 1; page <= 3; page++ {
		look(fmt.Sprintf("page %d", page+1), func() {
			b.click(link, "Next page", "")
			b.await("the next page", fmt.Sprintf(`document.querySelector("table.jobs code").innerText == "dead-%06d"`, page*50))
		})
	}
	look("a job", func() {
		b.click(link, "kind.0", "dead-000160")
		b.sees("Last error", "error b")
	})
	look("a filter", func() {
		b.visit(s.url + "queues/many/dead?kind=kind.3")
		b.sees("Only those of kind kind.3", "dead-000003")
	})
	b.click(button, "Redrive all that match…", "")
	b.click(button, "Redrive these", "")
	b.sees("2,000 dead letters of queue many redriven", "There may be more of them")
	want(t, d, "many", 2000, 0, manyLetters-2000)
}

// TestManyQueues: a thousand queues on Redis are shown a hundred a page, found by name, and asked about by one poll, however many
// browsers look.
func TestManyQueues(t *testing.T) {
	t.Parallel()
	d := count(t, onRedis(t, 3))
	for i := range manyQueues {
		if err := d.Declare(t.Context(), fmt.Sprintf("queue-%03d", i)); err != nil {
			t.Fatal(err)
		}
	}
	put(t, d, "queue-777", dead(3)...)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.visit(s.url)
	b.sees("1,000 queues", "Page 1 of 10", "queue-099")
	if w := b.weight(); w > mostPage {
		t.Errorf("the page has %d bytes", w)
	}
	b.click(link, "Next", "")
	b.sees("Page 2 of 10", "queue-100")
	b.fill("searchbox", "Name has", "", "77")
	b.click(button, "Apply", "")
	b.sees("19 of 1,000 queues", "queue-177", "queue-779")
	b.loses("queue-100")
	b.click(link, "3 dead letters of queue-777", "")
	b.sees("All 3, counted now")
	b.visit(s.url + "?sort=dead&only=dead")
	b.sees("1 of 1,000 queues", "queue-777")

	tabs := []*tab{b}
	b.visit(s.url)
	for range 4 {
		other := open(t, desk)
		other.visit(s.url)
		other.sees("1,000 queues")
		tabs = append(tabs, other)
	}
	renewed := 0
	got := d.during(func() {
		for _, one := range tabs {
			renewed -= one.renewals()
		}
		for _, one := range tabs {
			one.await("two renewals", fmt.Sprintf("%s >= %d", renewals, one.renewals()+2))
		}
		for _, one := range tabs {
			renewed += one.renewals()
		}
	})
	polls := got.calls["Depth"] / manyQueues
	t.Logf("five browsers have renewed their pages %d times, and the broker was asked %d times", renewed, polls)
	if polls > renewed/2 {
		t.Errorf("five browsers have renewed their pages %d times, for which the broker was asked %d times", renewed, polls)
	}
}

// renewals counts how often the page has renewed itself.
const renewals = `performance.getEntriesByType("resource").filter(e => e.name.includes("/live")).length`

// renewals is how often the page has renewed itself.
func (b *tab) renewals() int {
	b.t.Helper()
	return eval[int](b, renewals)
}
