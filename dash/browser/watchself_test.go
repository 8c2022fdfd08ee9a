package browser_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestWatch shows pages to the tests' own watch on which something is wrong: without it, no other test would mean anything.
func TestWatch(t *testing.T) {
	t.Parallel()
	bad := map[string]string{
		"a breach of the policy": `<p onclick="x()">`,
		"a script":               `<script>document.title = "evil"</script>`,
		"a missing file":         `<img alt="" src="missing.png">`,
	}
	pages := http.NewServeMux()
	pages.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		body, ok := bad[r.URL.Query().Get("with")]
		if !ok && r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'self'; img-src 'self' data:")
		_, _ = w.Write([]byte(`<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,"><h1>A page</h1>` + body))
	})
	server := httptest.NewServer(pages)
	t.Cleanup(server.Close)
	b := open(t, desk)
	b.visit(server.URL)
	b.click(heading, "A page", "")
	if said := b.watch.take(); len(said) > 0 {
		t.Errorf("of a page with nothing wrong the browser says %q", said)
	}
	for name := range bad {
		b.visit(server.URL + "?with=" + name)
		b.sees("A page")
		if said := b.watch.take(); len(said) == 0 {
			t.Errorf("of a page with %s the browser says nothing", name)
		}
	}
	eval[int](b, `(console.error("oh"), 1)`)
	if !b.watch.forget("console.error") {
		t.Error("an error on the console is not seen")
	}
}
