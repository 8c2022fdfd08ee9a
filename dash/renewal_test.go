package dash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch/driver"
)

// late is a broker that lists its queues when it is let, whatever the context says.
type late struct {
	*counter
	begun, end chan struct{}
}

func (l late) ListQueues(ctx context.Context) ([]string, error) {
	close(l.begun)
	<-l.end
	return l.Driver.ListQueues(context.WithoutCancel(ctx))
}

// Names that come while the handler is closed are asked for nothing.
func TestCloseDuringList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		three(t, d)
		before := d.count("depth")
		l := late{d, make(chan struct{}), make(chan struct{})}
		h, err := New(l, Config{})
		if err != nil {
			t.Fatal(err)
		}
		<-l.begun
		closed := make(chan error)
		go func() { closed <- h.Close() }()
		synctest.Wait()
		close(l.end)
		if err := <-closed; err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if n := d.count("depth") - before; n != 0 {
			t.Errorf("%d depths were asked for after Close", n)
		}
	})
}

// lister is a broker that lists its queues at once, however slow the rest is.
type lister struct{ *counter }

func (l lister) ListQueues(ctx context.Context) ([]string, error) {
	names, err := l.Driver.ListQueues(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	return append(names, l.names...), err
}

// Where a look takes longer than it is until the next new queue, the last ones by name are looked at, too.
func TestSlowLookWithNewQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		for i := range 200 {
			fill(t, d, fmt.Sprintf("q%03d", i), waitingJobs(1)...)
		}
		d.delay = time.Second // a look takes 25 s
		a := openApp(t, lister{d}, Config{})
		for i := range 60 {
			d.set(func() { d.names = append(d.names, fmt.Sprintf("n%03d", i)) })
			time.Sleep(5 * time.Second)
		}
		a.want(a.get("queues/q199"), http.StatusOK, "<dd>1</dd>")
		a.want(a.get("queues/n000"), http.StatusOK)
	})
}

// Numbers that are old because a call does not return say so.
func TestHungCallIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		fill(t, d, "emails", waitingJobs(1)...)
		a := openApp(t, d, Config{})
		a.get("")
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		time.Sleep(5 * time.Minute)
		a.want(a.get("queues/emails"), http.StatusOK, "<dd>1</dd>", "an earlier call to the broker has not returned")
		close(hang)
		d.set(func() { d.hang = nil })
		time.Sleep(20 * time.Second)
		a.want(a.get("queues/emails"), http.StatusOK, "!has not returned", "!old")
	})
}

// A part that renews itself says that it is one, so that the script puts nothing else into the page, and has no alert, which
// would be read out again each time.
func TestRenewedParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		three(t, d)
		a := openApp(t, d, acting())
		a.get("")
		d.set(func() {
			d.err = &driver.Error{Driver: "memory", Op: "depth", Kind: driver.ErrUnavailable, Err: errors.New("refused")}
		})
		time.Sleep(time.Minute)
		for path, part := range map[string]string{"": "", "queues/emails": "", "queues/emails/dead": "", "live": "live", "queues/emails/live": "live"} {
			p := a.get(path)
			if got := p.head.Get("Dash-Part"); got != part {
				t.Errorf("%s is the part %q, want %q", path, got, part)
			}
			if part != "" {
				a.want(p, http.StatusOK, "has not answered", "refused", `!role="alert"`)
			}
		}
		a.want(a.get("queues/none/live"), http.StatusNotFound)
		if script := string(assets["dash.js"].content); !strings.Contains(script, `headers.has("Dash-Part")`) {
			t.Error("the script does not look at it")
		}
	})
}

// All queues can be reached by the links from one page to the next, with their filter and order.
func TestPagesOfQueues(t *testing.T) {
	d := newBroker(t)
	for i := range 250 {
		fill(t, d, fmt.Sprintf("tenant-%03d", i))
	}
	fill(t, d, "other")
	a := openApp(t, d, Config{})
	seen := make(map[string]bool)
	pages := 0
	for path := "?q=tenant&sort=dead"; path != "" && pages < 5; pages++ {
		p := a.get(path)
		for _, name := range regexp.MustCompile(`>(tenant-\d+|other)</a>`).FindAllStringSubmatch(p.text, -1) {
			seen[name[1]] = true
		}
		path = ""
		if next := regexp.MustCompile(`rel="next" href="\./([^"]*)"`).FindStringSubmatch(p.text); next != nil {
			path = strings.ReplaceAll(next[1], "&amp;", "&")
		}
	}
	if pages != 3 || len(seen) != 250 || seen["other"] {
		t.Errorf("%d pages have %d queues, want 3 with 250", pages, len(seen))
	}
}

// Where looks are so rare that no rate is ever known, the page does not say for ever that it is being measured.
func TestRateOfRareLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		fill(t, d, "emails", waitingJobs(3)...)
		a := openApp(t, d, Config{Interval: 10 * time.Minute})
		a.get("")
		time.Sleep(time.Hour)
		a.want(a.get("queues/emails"), http.StatusOK, "<dd>3</dd>", "!measuring")
	})
}
