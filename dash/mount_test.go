package dash

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"
)

// secureHeaders are those that every answer has.
var secureHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
	"Referrer-Policy": "same-origin", "Cache-Control": "no-store",
}

func TestHeaders(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	a := openApp(t, d, acting())
	for _, path := range []string{"", "live", "queues/emails", "queues/emails/live", "queues/emails/dead", "nothing", "queues/emails/edit?id=a", "dash.js", "icon.svg"} {
		p := a.get(path)
		for name, value := range secureHeaders {
			if got := p.head.Get(name); !strings.Contains(got, value) {
				t.Errorf("%s: %s is %q, want %q", path, name, got, value)
			}
		}
		for _, weak := range []string{"unsafe", "http:", "https:", "*", "data:"} {
			if policy := p.head.Get("Content-Security-Policy"); strings.Contains(policy, weak) {
				t.Errorf("the policy has %q: %s", weak, policy)
			}
		}
		if p.head.Get("Set-Cookie") != "" {
			t.Errorf("%s sets a cookie", path)
		}
	}
	refused := form("queues/emails/purge", nil)
	refused.Header.Set("Sec-Fetch-Site", "cross-site")
	for _, p := range []page{a.do(refused), a.post("queues/emails/redrive", url.Values{"which": {"all"}})} {
		if p.head.Get("Content-Security-Policy") != policy {
			t.Errorf("an answer with status %d has no policy", p.code)
		}
	}
}

// link finds the URLs of a page.
var link = regexp.MustCompile(`(href|src|action|formaction|data-live)="([^"]*)"`)

// follow walks all links of a site from a URL, and checks that each leads to a page of the handler.
func follow(t *testing.T, client *http.Client, start string) (seen map[string]bool) {
	t.Helper()
	seen = make(map[string]bool)
	for left := []string{start}; len(left) > 0; left = left[1:] {
		at, err := url.Parse(left[0])
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Get(at.String())
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		if _, err := w.Body.ReadFrom(answer.Body); err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s: status %d", at, answer.StatusCode)
		}
		if path.Base(at.Path) == "live" {
			continue // its links are those of the page that it is put into
		}
		for _, found := range link.FindAllStringSubmatch(w.Body.String(), -1) {
			if strings.HasPrefix(found[2], "/") || strings.Contains(found[2], "://") {
				t.Errorf("%s has a link that is not relative: %s", at, found[2])
			}
			to, err := at.Parse(strings.ReplaceAll(found[2], "&amp;", "&"))
			if err != nil {
				t.Fatal(err)
			}
			if to.Fragment = ""; !strings.HasPrefix(to.String(), start) {
				t.Errorf("%s leads out of the handler: %s", at, to)
			} else if !seen[to.String()] && !strings.Contains(found[1], "action") {
				seen[to.String()] = true
				left = append(left, to.String())
			}
		}
	}
	return seen
}

// All links work at the root, under a prefix, and behind a proxy that strips one.
func TestPrefixes(t *testing.T) {
	d := newBroker(t)
	fill(t, d, "reports", waitingJobs(2)...)
	three(t, d)
	h := openApp(t, d, acting()).h
	mux := http.NewServeMux()
	mux.Handle("/a/b/", http.StripPrefix("/a/b", h))
	mux.Handle("/trailing/", http.StripPrefix("/trailing/", h))
	under, root := httptest.NewServer(mux), httptest.NewServer(h)
	defer under.Close()
	defer root.Close()
	target, err := url.Parse(root.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(http.StripPrefix("/ops/batch", httputil.NewSingleHostReverseProxy(target)))
	defer proxy.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections() // the proxy's
	pages := 0
	for _, start := range []string{root.URL + "/", under.URL + "/a/b/", under.URL + "/trailing/", proxy.URL + "/ops/batch/"} {
		seen := follow(t, root.Client(), start)
		if pages == 0 {
			pages = len(seen)
		}
		if len(seen) != pages || pages < 30 {
			t.Errorf("%s has %d pages, and the first one %d", start, len(seen), pages)
		}
	}
	root.Client().CloseIdleConnections()
}

// The part of a page that renews itself has the links of the page that it is put into.
func TestLinksOfRenewedParts(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	a := openApp(t, d, acting())
	for path, live := range map[string]string{"": "live", "queues/emails": "queues/emails/live"} {
		whole := a.get(path).text
		links := link.FindAllString(a.get(live).text, -1)
		if len(links) == 0 {
			t.Errorf("%s has no links", live)
		}
		for _, found := range links {
			if !strings.Contains(whole, found) {
				t.Errorf("%s has %s, and %s does not", live, found, path)
			}
		}
	}
	p := a.get("queues/emails/")
	if p.code != http.StatusPermanentRedirect || p.head.Get("Location") != "../emails" {
		t.Errorf("a slash too much: %d to %q", p.code, p.head.Get("Location"))
	}
}

// The prefix without its slash leads to the one with it, without knowing what is before it.
func TestPrefixWithoutSlash(t *testing.T) {
	h := openApp(t, newBroker(t), Config{}).h
	for path, want := range map[string]string{"/batch": "./batch/", "/ops/batch": "./batch/", "/batch?q=x": "./batch/"} {
		w := httptest.NewRecorder()
		prefix, _, _ := strings.Cut(path, "?")
		http.StripPrefix(prefix, h).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusPermanentRedirect || w.Header().Get("Location") != want {
			t.Errorf("%s: %d to %q, want %q", path, w.Code, w.Header().Get("Location"), want)
		}
	}
}

// The files of a page never change under one URL.
func TestAssets(t *testing.T) {
	a := openApp(t, newBroker(t), Config{})
	text := a.get("").text
	for name, kind := range map[string]string{"dash.css": "text/css", "dash.js": "text/javascript", "icon.svg": "image/svg+xml"} {
		versioned := regexp.MustCompile(regexp.QuoteMeta(name) + `\?v=[0-9a-f]+`).FindString(text)
		p := a.get(versioned)
		if p.code != http.StatusOK || !strings.HasPrefix(p.head.Get("Content-Type"), kind) || !strings.Contains(p.head.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, %v", versioned, p.code, p.head)
		}
		if p := a.get(name + "?v=old"); p.head.Get("Cache-Control") != "no-store" {
			t.Errorf("%s of another version may be kept: %v", name, p.head)
		}
	}
}
