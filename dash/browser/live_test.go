package browser_test

import (
	"testing"

	"github.com/batch-go/batch"
)

// TestLive: a page shows what has happened on the broker without being loaded again.
func TestLive(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	row := func(name, waiting, dead string) string {
		return `[...document.querySelectorAll("tbody tr")].some(r => r.cells[0].innerText.startsWith("` + name + `") && r.cells[1].innerText == "` + waiting + `" && r.cells[4].innerText.startsWith("` + dead + `"))`
	}
	b.visit(s.url)
	b.sees("Live")
	b.await("the row as it was", row("reports", "2", "0"))
	loads := b.watch.pages()
	put(t, d, "reports", entry("new-1", "report.monthly"))
	b.await("one job more", row("reports", "3", "0"))
	put(t, d, "letters", entry("new-2", "letter", died("permanent", 1, "no paper")))
	if b.watch.pages() != loads {
		t.Error("the page was loaded again")
	}

	b.visit(s.url + "queues/reports")
	b.sees("Live")
	loads = b.watch.pages()
	q, err := batch.Admin(d, "reports")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.sees("The broker hands out none of its jobs.")
	b.click(button, "Stop updates", "")
	b.sees("Stopped")
	put(t, d, "reports", entry("new-3", "report.monthly"))
	b.click(button, "Start updates", "")
	b.await("another one", `[...document.querySelectorAll("dl.tiles dd")][0].innerText == "4"`)
	if b.watch.pages() != loads {
		t.Error("the page was loaded again")
	}
	b.click(button, "Resume", "") // what a form sends is of the page as it is now
	b.sees("Queue reports is resumed.")
}

// TestLiveKeepsFocus: what has the focus keeps it when the numbers around it are renewed.
func TestLiveKeepsFocus(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.visit(s.url)
	b.sees("Live")
	b.tabTo("webhooks")
	put(t, d, "webhooks", entry("new-1", "webhook.deliver"))
	b.await("one job more", `[...document.querySelectorAll("tbody tr")].some(r => r.cells[0].innerText == "webhooks" && r.cells[1].innerText == "1")`)
	if at := b.focused(); at != "webhooks" {
		t.Errorf("the focus is on %q", at)
	}
	b.tabTo("1 dead letters of webhooks")
}

// TestLostServer: a page says that its numbers are old when the program is gone, and goes on when it is back.
func TestLostServer(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.visit(s.url)
	b.sees("Live")
	b.watch.tolerate("status of 503")
	s.away.Store(true)
	b.sees("Not live for")
	put(t, d, "reports", entry("new-1", "report.monthly"))
	s.away.Store(false)
	b.loses("Not live")
	b.sees("3 waiting")
}

// TestWithoutScripts: all pages do the same with JavaScript switched off.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.withoutScripts()
	b.visit(s.url)
	b.click(link, "9 dead letters of emails", "")
	b.sees("By kind and error")
	b.click(button, "Redrive these of kind email.welcome", "")
	b.sees("Mend the cause first")
	b.click(button, "Redrive these", "")
	b.sees("6 dead letters of queue emails redriven.")
	want(t, d, "emails", 6, 1, 3)
	if eval[bool](b, `document.querySelector("[data-live-bar]").checkVisibility()`) {
		t.Error("a page that cannot renew itself says that it is live")
	}
}
