package browser_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// maxTabs bounds how often Tab is pressed on one page.
const maxTabs = 150

// focused is what has the focus, in the words that a screen reader would say, and empty for nothing.
func (b *tab) focused() string {
	b.t.Helper()
	return eval[string](b, `(() => {
		const e = document.activeElement;
		if (!e || e === document.body) return "";
		return (e.getAttribute("aria-label") || e.labels?.[0]?.innerText || e.innerText || e.value || e.id).replace(/\s+/g, " ").trim();
	})()`)
}

// ringed checks that what has the focus shows it, and can be seen itself.
func (b *tab) ringed() {
	b.t.Helper()
	if bad := eval[string](b, `(() => {
		const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
		if (!e.matches(":focus-visible")) return "has no visible focus";
		if ((style.outlineStyle === "none" || parseFloat(style.outlineWidth) < 1) && style.boxShadow === "none") return "shows no focus";
		if (box.width < 1 || box.height < 1 || box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth) return "is out of sight";
		return "";
	})()`); bad != "" {
		b.t.Errorf("%s: %q %s", b.location(), b.focused(), bad)
	}
}

// tabTo presses Tab until something with a name has the focus, and checks each on the way.
func (b *tab) tabTo(name string) {
	b.t.Helper()
	var seen []string
	for range maxTabs {
		b.press(kb.Tab)
		at := b.focused()
		if at == "" {
			break
		}
		b.ringed()
		if at == name {
			return
		}
		seen = append(seen, at)
	}
	b.t.Fatalf("%s: Tab does not lead to %q, but to %q", b.location(), name, seen)
}

// TestKeyboard does by the keyboard alone what people come for: from the list to a dead letter, and back in the queue with it.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	b := open(t, desk)
	b.visit(s.url)
	b.press(kb.Tab)
	if at := b.focused(); at != "Skip to the content" {
		t.Errorf("the first that Tab leads to is %q", at)
	}
	b.ringed()
	b.press(kb.Enter)
	b.await("the content", `location.hash == "#main" && document.activeElement.id == "main"`)
	b.tabTo("Name has")
	b.tabTo("9 dead letters of emails")
	b.press(kb.Enter)
	b.sees("By kind and error")
	b.tabTo("email.welcome")
	b.press(kb.Enter)
	b.sees("6 of the 9 that were read")
	b.tabTo("Choose job welcome-0")
	b.press(" ")
	b.tabTo("Choose job welcome-3")
	b.press(" ")
	b.tabTo("Redrive chosen")
	b.press(kb.Enter)
	b.sees("2 dead letters of queue emails redriven.")
	want(t, d, "emails", 2, 1, 7)
	b.tabTo("To the queue")
	b.press(kb.Enter)
	b.sees("Find a job")
	b.tabTo("ID")
	b.press("l", "a", "t", "e", "r", "-", "1", kb.Enter)
	b.sees("email.digest later-1", "scheduled")
}

// TestTabOrder follows Tab through every page: the order is that of the page, all that can be used is reached, and nothing holds
// the focus fast.
func TestTabOrder(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	c := everything()
	c.Queues = []string{"emails"}
	s := serve(t, d, c)
	b := open(t, desk)
	b.crawl(s.url, func() {
		const usable = `[...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']")].filter(e => e.checkVisibility())`
		total := eval[int](b, fmt.Sprintf(`(window.order = %s).length`, usable))
		var got []int
		for range total {
			b.press(kb.Tab)
			b.ringed()
			got = append(got, eval[int](b, `window.order.indexOf(document.activeElement)`))
		}
		if !slices.IsSorted(got) || slices.Contains(got, -1) {
			t.Errorf("%s: Tab leads to %v of %d elements", b.location(), got, total)
		}
	})
}
