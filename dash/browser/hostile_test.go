package browser_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// evil are texts that would be code, or break out of where they are shown, if a page did not take care.
var evil = []string{
	`<script>window.pwned = 1</script>`,
	`<img src="x" onerror="window.pwned = 2">`,
	`"><svg onload="window.pwned = 3">`,
	`'><b onmouseover='window.pwned = 4' style='position:fixed;inset:0'>`,
	`</textarea><script>window.pwned = 5</script>`,
	`</pre></template></noscript><iframe srcdoc="<script>parent.pwned = 6</script>"></iframe>`,
	`javascript:window.pwned=7`,
	`{{.}}{{template "x"}}<!--`,
	"a\x00b\x00", "\xff\xfe\xc3(", "\u202egpj.exe\u2066\u200f", "\x1b[2J\x07\r\n\x85\u2028",
}

// harmless checks that nothing on the page is code, or leads anywhere else.
func (b *tab) harmless() {
	b.t.Helper()
	if got := eval[string](b, "String(window.pwned)"); got != "undefined" {
		b.t.Errorf("%s: a job's text ran as code: %s", b.location(), got)
	}
	if bad := eval[[]string](b, `[...document.querySelectorAll("*")].filter(e =>
		e.matches("script:not([src]), iframe, object, embed, style, base, svg [onload], img[src=x]") ||
		[...e.attributes].some(a => a.name.startsWith("on") || a.name == "style") ||
		["href", "src", "action", "formAction"].some(n => typeof e[n] == "string" && e[n] && new URL(e[n]).origin != location.origin)
	).map(e => e.outerHTML.slice(0, 200))`); len(bad) > 0 {
		b.t.Errorf("%s has what it should not: %q", b.location(), bad)
	}
	if text := b.text(); strings.ContainsAny(text, "\x00\x1b\u202e\u2066\u2028") {
		b.t.Errorf("%s shows what changes how the rest is read: %q", b.location(), text)
	}
}

// TestHostileJobs: whatever others wrote into a job, wherever it is shown, it is text.
func TestHostileJobs(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	var dead, waiting []batch.Entry
	for i, text := range append(evil, strings.Repeat(`<script>window.pwned = 8</script>`, 1<<15)) {
		short := text[:min(len(text), 200)]
		e := entry(fmt.Sprint(i)+short, short, body(text), died(driver.ReasonAttempts, 3, text))
		e.Headers, e.Reason, e.ContentType, e.Group, e.DedupKey = map[string]string{short: short}, short, short, short, short
		dead = append(dead, e)
		w := entry(fmt.Sprint("w", i)+short, short, body(text))
		w.LastError, w.Failures, w.Headers = text, 1, e.Headers
		waiting = append(waiting, w)
	}
	force(t, d, "emails", append(dead, waiting...))
	c := everything()
	c.Queues = []string{"emails"}
	s := serve(t, d, c)
	b := open(t, desk)
	b.crawl(s.url, b.harmless)
	b.watch.tolerate("status of 4") // no link can name some of them
	for i := range dead {
		for _, page := range []string{"dead/job?id=" + url.QueryEscape(dead[i].ID), "edit?id=" + url.QueryEscape(dead[i].ID), "waiting/job?id=" + url.QueryEscape(waiting[i].ID)} {
			b.visit(s.url + "queues/emails/" + page)
			b.sees("batch")
			b.harmless()
		}
	}
}

// TestHostileSites: a page of another site cannot make the browser act on the dashboard, nor show it in a frame: neither one
// of another host, nor one of another port of the same host, which browsers hold for the same site.
func TestHostileSites(t *testing.T) {
	t.Parallel()
	d := inMemory(t)
	seed(t, d)
	s := serve(t, d, everything())
	action := s.url + "queues/emails/redrive"
	attacker := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, `<!doctype html><html lang="en"><title>Kittens</title><link rel="icon" href="data:,">
			<form method="post" action=%q><input type="hidden" name="which" value="all"><button>Kittens</button></form>`, action)
	}))
	t.Cleanup(attacker.Close)
	for _, site := range []string{attacker.URL, strings.Replace(attacker.URL, "127.0.0.1", "localhost", 1)} {
		b := open(t, desk)
		b.watch.tolerate("BlockedByResponseIssue", "ContentSecurityPolicyIssue", "chrome-error:") // they say the same again
		b.visit(site)
		b.click(button, "Kittens", "")
		b.sees("Refused", "was not sent by a page of this dashboard")
		b.forgets("403")
		b.visit(site)
		eval[string](b, fmt.Sprintf(`fetch(%q, {method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams({which: "all"})}).then(r => r.type, String)`, action))
		b.forgets("ERR_BLOCKED_BY_RESPONSE")
		eval[int](b, fmt.Sprintf(`(document.body.append(Object.assign(document.createElement("iframe"), {src: %q})), 1)`, s.url))
		b.forgets("frame-ancestors")
		if got := depth(t, d, "emails"); got.Dead != 9 || got.Waiting != 0 {
			t.Errorf("a page of %s has redriven dead letters: %+v", site, got)
		}
	}
}
