package browser_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
)

// maxPages bounds a crawl: there are fewer kinds of pages.
const maxPages = 60

// crawl opens the page at an address and all that its links and those of other pages lead to, one of each kind, and calls visit
// for each. Two are of one kind if their addresses differ in the values of parameters only.
func (b *tab) crawl(root string, visit func()) (opened []string) {
	b.t.Helper()
	known := map[string]bool{kindOf(root): true}
	queue := []string{root}
	for len(queue) > 0 && len(opened) < maxPages {
		address := queue[0]
		queue = queue[1:]
		b.visit(address)
		visit()
		opened = append(opened, kindOf(address))
		for _, next := range eval[[]string](b, `[...document.querySelectorAll("a[href]")].map(a => a.href)`) {
			if !strings.HasPrefix(next, root) {
				b.t.Errorf("%s has a link to %s, which is not of the dashboard", address, next)
			}
			if kind := kindOf(next); !known[kind] {
				known[kind] = true
				queue = append(queue, next)
			}
		}
	}
	if len(opened) == maxPages {
		b.t.Errorf("there are more than %d kinds of pages: %q", maxPages, opened)
	}
	return opened
}

// kindOf is the path of an address with the names of its parameters.
func kindOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	names := make([]string, 0, len(u.Query()))
	for name := range u.Query() {
		names = append(names, name)
	}
	slices.Sort(names)
	return u.Path + "?" + strings.Join(names, "&")
}

// fits checks that the page is no wider than the window, and says what is.
func (b *tab) fits() {
	b.t.Helper()
	if wide := eval[[]string](b, `(() => {
		const width = document.documentElement.clientWidth;
		if (document.documentElement.scrollWidth <= width) return [];
		return [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > width + 1).map(e => e.outerHTML.slice(0, 120));
	})()`); len(wide) > 0 {
		b.t.Errorf("%s is wider than the window: %q", b.location(), wide)
	}
}

// TestEveryPage opens every page on a desk, by night and on a phone: all can be used by all, and none scrolls sideways.
func TestEveryPage(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	c := everything()
	c.Queues = []string{"emails", "thumbnails"}
	s := serve(t, d, c)
	for name, l := range map[string]look{"desk": desk, "night": night, "phone": phone} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, l)
			opened := b.crawl(s.url, func() {
				b.accessible()
				b.fits()
			})
			t.Logf("%d pages: %q", len(opened), opened)
			if len(opened) < 10 {
				t.Errorf("there are only these pages: %q", opened)
			}
		})
	}
}
