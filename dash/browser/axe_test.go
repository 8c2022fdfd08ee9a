package browser_test

import (
	"os"
	"strings"
	"testing"
)

// violation is what axe says of a page that not everybody can use.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// axe runs axe-core on the page as it is shown, with all its rules, and returns what it finds.
func (b *tab) axe() []violation {
	b.t.Helper()
	source, err := os.ReadFile(programFor(b.t, "axe.sh"))
	if err != nil {
		b.t.Fatal(err)
	}
	eval[int](b, string(source)+";1")
	return eval[[]violation](b, `axe.run({resultTypes: ["violations"]}).then(r => r.violations)`)
}

// accessible checks the page by axe-core.
func (b *tab) accessible() {
	b.t.Helper()
	for _, v := range b.axe() {
		for _, n := range v.Nodes {
			b.t.Errorf("%s: axe %s (%s): %s: %s: %s", b.location(), v.ID, v.Impact, v.Help, n.HTML, strings.Join(strings.Fields(n.FailureSummary), " "))
		}
	}
}

// TestAxe shows it a page that few can use: without it, that no page has a violation would mean nothing.
func TestAxe(t *testing.T) {
	t.Parallel()
	b := open(t, desk)
	b.visit(`data:text/html,<!doctype html><title>x</title><main><h1>x</h1><p style="color:%23bbb;background:white">pale</p><input></main>`)
	var ids []string
	for _, v := range b.axe() {
		ids = append(ids, v.ID)
	}
	for _, want := range []string{"color-contrast", "label", "html-has-lang"} {
		if !strings.Contains(strings.Join(ids, " "), want) {
			t.Errorf("axe finds %q, and not %s", ids, want)
		}
	}
	b.watch.take()
}
