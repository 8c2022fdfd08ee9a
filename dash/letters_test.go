package dash

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// manyLetters are so many dead letters, of ten kinds and with an error for each of two causes.
func manyLetters(n, bytes int) []batch.Entry {
	all := make([]batch.Entry, n)
	body := strings.Repeat("x", bytes)
	for i := range all {
		all[i] = letter(fmt.Sprintf("id-%06d", i), fmt.Sprintf("kind.%d", i%10), "max-attempts", fmt.Sprintf("dial 10.0.0.%d: refused", i%250), body)
		if i%5 == 0 {
			all[i].LastError = "context deadline exceeded"
		}
		all[i].DeadAt = time.Now().Add(time.Duration(i-n) * time.Millisecond)
	}
	return all
}

// nextPage is the link to the next page of a list.
var nextPage = regexp.MustCompile(`rel="next" href="\.\./\.\./([^"]*)"`)

// Paging through a hundred thousand dead letters reads a bounded number for each page, and shows each once.
func TestManyDeadLetters(t *testing.T) {
	const total = 100_000
	d := newCounter()
	defer d.Close(t.Context())
	fill(t, d, "emails", manyLetters(total, 10)...)
	a := openApp(t, d, acting())
	a.want(a.get("queues/emails/dead"), http.StatusOK, "Of the oldest 1,000; there are more", "dial #.#.#.#: refused", "100,000 by the last count")
	if d.read > sampleSize {
		t.Errorf("the first page read %d dead letters", d.read)
	}
	seen := make(map[string]bool)
	pages := 0
	for path := "queues/emails/dead"; path != "" && pages < 100; pages++ {
		d.read = 0
		p := a.get(path)
		for _, id := range regexp.MustCompile(`value="(id-\d+)"`).FindAllStringSubmatch(p.text, -1) {
			if seen[id[1]] {
				t.Errorf("%s is there twice", id[1])
			}
			seen[id[1]] = true
		}
		if pages > 0 && d.read > pageSize {
			t.Errorf("page %d read %d dead letters", pages, d.read)
		}
		path = ""
		if next := nextPage.FindStringSubmatch(p.text); next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if len(seen) != pages*pageSize {
		t.Errorf("%d pages showed %d dead letters", pages, len(seen))
	}
	d.read = 0
	a.want(a.get("queues/emails/dead?kind=none"), http.StatusOK, "0 of the 2000 that were read", "Read on")
	if d.read != searchSize {
		t.Errorf("a search read %d dead letters, want %d", d.read, searchSize)
	}
	d.read = 0
	p := a.post("queues/emails/redrive", url.Values{"which": {"matching"}, "kind": {"kind.3"}})
	a.want(p, http.StatusOK, "1,000 dead letters of queue emails redriven", "There may be more of them")
	if d.read != moveSize {
		t.Errorf("an action read %d dead letters, want %d", d.read, moveSize)
	}
}

// Large bodies make a page shorter, not the memory larger.
func TestLargeDeadLetters(t *testing.T) {
	d := newCounter()
	defer d.Close(t.Context())
	fill(t, d, "emails", manyLetters(100, 1<<20)...)
	a := openApp(t, d, acting())
	p := a.get("queues/emails/dead")
	a.want(p, http.StatusOK, "Next page")
	if most := 2*(maxBytes>>20+stepBytes>>20) + firstStep; d.read > most {
		t.Errorf("%d MiB were read for a page, want at most %d", d.read, most)
	}
	if d.biggest > 200 {
		t.Errorf("%d were asked for at once", d.biggest)
	}
	if len(p.text) > 256<<10 {
		t.Errorf("the page has %d bytes", len(p.text))
	}
}

// portable is a broker without any capability, which reads all dead letters to list some.
type portable struct{ driver.Driver }

// On a broker that cannot be looked into, dead letters are read only when somebody asks for it, and it says what it costs.
func TestCostlyDeadLetters(t *testing.T) {
	d := newCounter()
	defer d.Close(t.Context())
	three(t, d)
	c := acting()
	c.Queues = []string{"emails"}
	a := openApp(t, portable{d}, c)
	for _, path := range []string{"", "live", "queues/emails", "queues/emails/live", "queues/emails/dead", "queues/emails/confirm?do=delete&which=matching&kind=x"} {
		a.want(a.get(path), http.StatusOK)
	}
	a.want(a.get("queues/emails/dead"), http.StatusOK, "3 by the last count", "Reading them is costly", "dead?read=1", "!mailbox")
	link := httptest.NewRequest(http.MethodGet, "/batch/queues/emails/dead?read=1", nil)
	link.Header.Set("Sec-Fetch-Site", "cross-site")
	a.want(a.do(link), http.StatusOK, "Reading them is costly")
	link = httptest.NewRequest(http.MethodGet, "/batch/queues/emails/dead/job?id=a", nil)
	link.Header.Set("Sec-Fetch-Site", "cross-site")
	a.want(a.do(link), http.StatusForbidden, "A link of another site")
	if n := d.count("dead"); n != 0 {
		t.Fatalf("dead letters were read %d times before somebody asked", n)
	}
	a.want(a.get("queues/emails/dead?read=1"), http.StatusOK, "mailbox # is full", "is not renewed", "This broker cannot be looked into")
	if n := d.count("dead"); n != 1 {
		t.Errorf("dead letters were read %d times for one page", n)
	}
	a.want(a.get("queues/emails/dead/job?id=b"), http.StatusOK, "mailbox 4242 is full", "cannot be edited")
	a.want(a.post("queues/emails/redrive", url.Values{"which": {"matching"}, "kind": {"email.welcome"}}), http.StatusOK, "2 dead letters of queue emails redriven")
	if n := d.count("dead"); n != 3 {
		t.Errorf("dead letters were read %d times for three pages", n)
	}
}

// What a broker cannot do is said, and not offered.
func TestWithoutCapabilities(t *testing.T) {
	d := newBroker(t)
	three(t, d)
	c := acting()
	c.Queues = []string{"emails"}
	a := openApp(t, portable{d}, c)
	a.want(a.get("queues/emails"), http.StatusOK, "This broker cannot pause", "This broker cannot purge waiting", "!Find a job", "!/pause")
	a.want(a.get("queues/emails/waiting"), http.StatusOK, "This broker cannot list waiting jobs")
	for path, form := range map[string]url.Values{
		"pause": nil, "resume": nil, "purge": {"name": {"emails"}}, "delete-job": {"id": {"a"}},
	} {
		a.want(a.post("queues/emails/"+path, form), http.StatusNotImplemented, "This broker cannot do that")
	}
	a.want(a.get("queues/emails/edit?id=a"), http.StatusNotImplemented)
	a.want(a.get("queues/emails/find?id=a"), http.StatusNotImplemented)
	if _, err := New(portable{d}, Config{}); err == nil || !strings.Contains(err.Error(), "Queues") {
		t.Errorf("a broker that lists no queues: %v", err)
	}
}

// mute is a broker that cannot count.
type mute struct{ driver.Driver }

func (m mute) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	d, err := m.Driver.Depth(ctx, queue)
	d.Scheduled, d.Running, d.Due, d.Age = driver.UnknownCount, driver.UnknownCount, driver.UnknownCount, driver.UnknownAge
	return d, err
}

// What a broker cannot tell is unknown, and not zero.
func TestUnknownCounts(t *testing.T) {
	d := newBroker(t)
	fill(t, d, "emails", waitingJobs(2)...)
	a := openApp(t, mute{d}, Config{Queues: []string{"emails"}})
	p := a.get("queues/emails")
	a.want(p, http.StatusOK, "<dt>Waiting</dt><dd>2</dd>", "<dt>Running</dt><dd><span class=\"none\"")
	if n := strings.Count(p.text, ">unknown<"); n != 4 {
		t.Errorf("%d are unknown, want 4:\n%s", n, p.text)
	}
	a.want(a.get(""), http.StatusOK, "<strong>2</strong> waiting, <strong><span class=\"none\"")
}
