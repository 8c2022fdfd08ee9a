package dash

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// evil is what a body, an error or a header may be.
var evil = map[string]string{
	"script":      `<script>alert(1)</script><img src=x onerror=alert(2)>"'` + "`" + `{{.}}</pre></textarea><svg/onload=alert(3)>`,
	"NUL":         "a\x00b\x1b[31m\x7f\u0085",
	"no UTF-8":    "\xff\xfe\xc0\xaf\xed\xa0\x80<b>",
	"direction":   "a\u202eb\u2066c\u200fd",
	"mebibyte":    strings.Repeat("<script>\x01", 1<<20/9),
	"long line":   strings.Repeat("x", 1<<20),
	"deep JSON":   strings.Repeat("[", 100_000),
	"wide JSON":   "[" + strings.Repeat("1,", 30_000) + "1]",
	"empty":       "",
	"line breaks": "\r\n\u2028\u2029\n\n<!--",
}

// inline finds what the policy forbids, and elements that no page has.
var inline = regexp.MustCompile(`(?i)<script>|<script[^>]*>[^<]|<[a-z][^<>]*\s(on[a-z]+|style)=|<style|<img|<iframe|<svg/onload|<!--`)

// values are those of attributes, in which a template leaves no quote.
var values = regexp.MustCompile(`="[^"]*"`)

// Whatever a job has, its pages are harmless: no markup of it, valid UTF-8, no character that controls, and not too long.
func TestHostileJobs(t *testing.T) {
	for name, text := range evil {
		t.Run(name, func(t *testing.T) {
			d := newBroker(t)
			e := letter("a", "email.welcome", "max-attempts", text[:min(len(text), 2048)], text)
			e.Headers = map[string]string{"x": text[:min(len(text), 1024)]}
			q := fill(t, d, "emails", e)
			_ = q
			a := openApp(t, d, acting())
			for _, path := range []string{"", "live", "queues/emails", "queues/emails/dead", "queues/emails/dead/job?id=a", "queues/emails/find?id=a", "queues/emails/edit?id=a"} {
				p := a.get(path)
				if p.code != http.StatusOK && !(strings.Contains(path, "edit") && p.code == http.StatusUnprocessableEntity) {
					t.Errorf("%s: status %d", path, p.code)
				}
				a.harmless(path, p)
			}
			a.harmless("redrive", a.post("queues/emails/redrive", url.Values{"which": {"matching"}, "kind": {"email.welcome"}}))
		})
	}
}

// harmless checks a page for what no page has.
func (a *app) harmless(path string, p page) {
	a.t.Helper()
	if found := inline.FindString(values.ReplaceAllString(p.text, "=x")); found != "" {
		a.t.Errorf("%s has %q", path, found)
	}
	if !utf8.ValidString(p.text) {
		a.t.Errorf("%s is not UTF-8", path)
	}
	for _, c := range p.text {
		if c < ' ' && c != '\n' && c != '\t' || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 || c == 0x200f {
			a.t.Errorf("%s has the character %U", path, c)
			break
		}
	}
	if len(p.text) > 2<<20 {
		a.t.Errorf("%s has %d bytes", path, len(p.text))
	}
}

// What is in a link or a form comes back harmless, too.
func TestHostileRequests(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	a := openApp(t, d, acting())
	for name, text := range evil {
		text = text[:min(len(text), 2000)]
		value := url.QueryEscape(text)
		for _, path := range []string{
			"?q=%s&only=%[1]s&sort=%[1]s&page=%[1]s", "queues/emails/dead?kind=%s&reason=%[1]s&error=%[1]s", "queues/emails/dead?cursor=%s",
			"queues/emails/dead/job?id=%s&cursor=", "queues/emails/find?id=%s", "queues/emails/confirm?do=%s",
			"queues/emails/confirm?do=delete&which=matching&kind=%s&error=%[1]s", "queues/emails/confirm?do=delete-job&id=%s&state=%[1]s", "queues/emails/confirm?do=redrive&which=some&id=%s",
		} {
			path = fmt.Sprintf(path, value)
			a.harmless(name+": "+path[:min(len(path), 60)], a.get(path))
		}
		for verb := range verbs {
			a.harmless(name+": "+verb, a.post("queues/emails/"+verb, url.Values{"which": {"some"}, "id": {text}, "name": {text}, "body": {text}, "kind": {text}}))
		}
	}
}

// A page of the queue list and one of the dead letters have what the policy asks for, in whatever order.
func TestPagesHaveNoInlineCode(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	a := openApp(t, d, acting())
	for _, path := range []string{"", "queues/emails", "queues/emails/dead", "queues/emails/waiting", "queues/emails/dead/job?id=a", "queues/emails/edit?id=a", "queues/emails/confirm?do=purge", "nothing"} {
		p := a.get(path)
		a.harmless(path, p)
		if n := strings.Count(p.text, "<h1"); n != 1 {
			t.Errorf("%s has %d h1", path, n)
		}
		a.want(p, p.code, `<html lang="en">`, `href="#main"`, `<main id="main"`, "<header", "<nav")
		for _, table := range strings.Split(p.text, "<table")[1:] {
			if !strings.Contains(table, "<caption") || strings.Contains(table, "<th>") {
				t.Errorf("%s has a table without caption, or a head without scope", path)
			}
		}
	}
}
