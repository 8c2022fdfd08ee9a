package dash

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/memory"
)

// counter is a memory driver whose calls are counted, and may be slow or fail.
type counter struct {
	*memory.Driver

	mu      sync.Mutex // guards following
	calls   map[string]int
	biggest int           // what one list was asked for
	read    int           // the jobs that lists told
	delay   time.Duration // of Depth
	hang    chan struct{} // Depth and ListQueues wait for it, whatever their context says
	err     error         // of Depth and ListQueues
	names   []string      // more of them
}

// newCounter makes one on a broker of its own.
func newCounter() *counter { return &counter{Driver: memory.New(), calls: make(map[string]int)} }

// note counts a call, and waits or fails as it is to.
func (c *counter) note(ctx context.Context, name string) error {
	c.mu.Lock()
	c.calls[name]++
	delay, hang, err := c.delay, c.hang, c.err
	c.mu.Unlock()
	if hang != nil {
		<-hang
	}
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

// set changes it while it is used.
func (c *counter) set(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// count is how often it was called.
func (c *counter) count(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.calls[name]
}

func (c *counter) Depth(ctx context.Context, queue string) (driver.Depth, error) {
	if err := c.note(ctx, "depth"); err != nil {
		return driver.Depth{}, err
	}
	return c.Driver.Depth(ctx, queue)
}

func (c *counter) ListQueues(ctx context.Context) ([]string, error) {
	if err := c.note(ctx, "list"); err != nil {
		return nil, err
	}
	names, err := c.Driver.ListQueues(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	return append(names, c.names...), err
}

func (c *counter) DeadLetters(ctx context.Context, queue, cursor string, max int) ([]driver.DeadLetter, string, error) {
	page, next, err := c.Driver.DeadLetters(ctx, queue, cursor, max)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls["dead"]++
	c.biggest = maxOf(c.biggest, max)
	c.read += len(page)
	return page, next, err
}

// maxOf is the larger of two, where max is the name of a parameter.
func maxOf(a, b int) int { return max(a, b) }

// However many browsers look, the broker is asked once an interval.
func TestOnePollForAllBrowsers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		for _, name := range []string{"a", "b", "c"} {
			fill(t, d, name)
		}
		a := openApp(t, d, Config{})
		a.get("")
		before := d.count("depth")
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				for range 60 {
					a.want(a.get([]string{"", "live", "queues/a", "queues/a/live"}[i%4]), http.StatusOK)
					time.Sleep(time.Second)
				}
			})
		}
		all.Wait()
		if asked := d.count("depth") - before; asked < 30 || asked > 39 {
			t.Errorf("asked for %d depths of three queues in a minute at 5 s, want about 36", asked)
		}
		if listed := d.count("list"); listed > 6 {
			t.Errorf("asked %d times for the names in a minute, want about 5", listed)
		}
	})
}

// Where it takes long to list the queues, it is done rarely.
func TestSlowListIsAskedForRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		fill(t, d, "emails")
		d.set(func() { d.delay = 3 * time.Second })
		a := openApp(t, d, Config{})
		for range 10 {
			time.Sleep(time.Minute)
			a.want(a.get(""), http.StatusOK, "emails")
		}
		if asked := d.count("list"); asked < 3 || asked > 5 {
			t.Errorf("asked %d times in ten minutes for a list that takes 3 s, want about 4", asked)
		}
	})
}

// When nobody looks for a long time, the broker is asked rarely, and at once when somebody does again.
func TestPollRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		q := fill(t, d, "emails")
		a := openApp(t, d, Config{})
		a.get("")
		time.Sleep(idleAfter + time.Minute)
		before := d.count("depth")
		time.Sleep(10 * time.Minute)
		if asked := d.count("depth") - before; asked < 9 || asked > 11 {
			t.Errorf("asked %d times in ten minutes in which nobody looked, want about 10", asked)
		}
		time.Sleep(30 * time.Second)
		if _, err := q.Import(t.Context(), waitingJobs(7)); err != nil {
			t.Fatal(err)
		}
		a.want(a.get(""), http.StatusOK, `<td class="num">7</td>`, "!has not answered", "!as of")
		before = d.count("depth")
		time.Sleep(time.Minute)
		if asked := d.count("depth") - before; asked < 11 {
			t.Errorf("asked %d times in the minute after somebody looked, want about 12", asked)
		}
	})
}

// A broker that is away leaves the pages with what is known, how old it is, and why.
func TestBrokenBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		fill(t, d, "emails", waitingJobs(3)...)
		a := openApp(t, d, acting())
		a.want(a.get(""), http.StatusOK, `<td class="num">3</td>`)
		d.set(func() {
			d.err = &driver.Error{Driver: "memory", Op: "depth", Kind: driver.ErrUnavailable, Err: errors.New("connection refused"), Hint: "start it"}
		})
		time.Sleep(40 * time.Second)
		a.want(a.get(""), http.StatusOK, `<td class="num">3</td>`, "as of 4", "has not answered for 4", "connection refused", "start it")
		a.want(a.get("queues/emails"), http.StatusOK, "<dd>3</dd>", "cannot be reached", "The numbers are 4")
		a.want(a.get("queues/emails/live"), http.StatusOK, "has not answered for 4")
		d.set(func() { d.err = nil })
		time.Sleep(6 * time.Second)
		a.want(a.get(""), http.StatusOK, "!has not answered", "!as of", "!connection refused")
	})
}

// A broker that was never there is no empty one.
func TestBrokerThatWasNeverThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		fill(t, d, "emails", waitingJobs(3)...)
		d.err = &driver.Error{Driver: "memory", Op: "list", Kind: driver.ErrUnavailable}
		a := openApp(t, d, acting())
		a.want(a.get(""), http.StatusOK, "never told", "has not told the names", "!No queues yet")
		a.want(a.get("queues/emails"), http.StatusOK, "unknown", "!<dd>0</dd>")
		d.set(func() { d.err = nil })
		time.Sleep(6 * time.Second)
		a.want(a.get(""), http.StatusOK, `<td class="num">3</td>`)
		a.want(a.get("queues/other"), http.StatusNotFound, "no queue other")
	})
}

// A slow broker holds up no page, and one queue no other; a call that does not end keeps others from piling up.
func TestSlowBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		for i := range 40 {
			fill(t, d, fmt.Sprintf("q%02d", i), waitingJobs(1)...)
		}
		d.delay = 2 * time.Second
		a := openApp(t, d, Config{})
		begun := time.Now()
		a.want(a.get(""), http.StatusOK, "unknown")
		if took := time.Since(begun); took > firstWait {
			t.Errorf("the first page took %s", took)
		}
		begun = time.Now()
		a.want(a.get("queues/q00"), http.StatusOK)
		if took := time.Since(begun); took > 0 {
			t.Errorf("the second page took %s", took)
		}
		time.Sleep(15 * time.Second) // 40 queues, 8 at a time, take 10 s
		begun = time.Now()
		a.want(a.get(""), http.StatusOK, "!unknown", "<strong>40</strong> waiting")
		if took := time.Since(begun); took > 0 {
			t.Errorf("a later page took %s", took)
		}
		hang := make(chan struct{})
		d.set(func() { d.hang = hang })
		time.Sleep(time.Minute)
		before := d.count("depth")
		time.Sleep(10 * time.Minute)
		if asked := d.count("depth") - before; asked > 0 {
			t.Errorf("%d more calls while the first hang", asked)
		}
		a.want(a.get("queues/q00"), http.StatusOK, "<dd>1</dd>", "The numbers are 1")
		time.Sleep(15 * time.Second)
		a.want(a.get("queues/q00"), http.StatusOK, "<dd>1</dd>", "has not answered for 1")
		close(hang)
		time.Sleep(20 * time.Second)
	})
}

// A broker that hangs when the handler is closed is an error of Close, and not waited for.
func TestCloseOfHungBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		hang := make(chan struct{})
		d.hang = hang
		h, err := New(d, Config{Queues: []string{"emails"}})
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		begun := time.Now()
		if err := h.Close(); time.Since(begun) > 3*closeWait {
			t.Errorf("Close took %s: %v", time.Since(begun), err)
		}
		close(hang)
		synctest.Wait()
		if err := h.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
}

// A queue that is deleted while somebody looks at it is said to be gone, and then is no more.
func TestDeletedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		q := three(t, d)
		fill(t, d, "other")
		a := openApp(t, d, acting())
		a.want(a.get("queues/emails"), http.StatusOK, "3</a></dd>")
		if err := q.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		a.want(a.get("queues/emails/dead"), http.StatusNotFound, "Not found", "by the last count")
		a.want(a.post("queues/emails/pause", nil), http.StatusNotFound, "Queue emails was not paused", "the queue does not exist")
		time.Sleep(6 * time.Second)
		a.want(a.get("queues/emails/live"), http.StatusOK, "does not exist any more")
		a.want(a.get("live"), http.StatusOK, "does not exist")
		time.Sleep(20 * time.Second)
		a.want(a.get("queues/emails"), http.StatusNotFound, "There is no queue emails here")
		a.want(a.get(""), http.StatusOK, "!emails", "other")
		if exists, err := q.Exists(context.Background()); err != nil || exists {
			t.Errorf("a page has made the queue: %v, %v", exists, err)
		}
	})
}

// A thousand queues are shown a page at a time, can be filtered and sorted, and what a broker should not tell is left out.
func TestThousandQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		for i := range 1000 {
			fill(t, d, fmt.Sprintf("tenant-%03d", i))
		}
		fill(t, d, "tenant-500", waitingJobs(9)...)
		three(t, d)
		d.names = []string{"no name", "<script>", "tenant-001", strings.Repeat("x", 65)}
		a := openApp(t, d, Config{})
		p := a.get("")
		a.want(p, http.StatusOK, "1,001 queues", "Page 1 of 11", "tenant-098", "!tenant-099", "!no name")
		if len(p.text) > 256<<10 {
			t.Errorf("the page has %d bytes", len(p.text))
		}
		a.want(a.get("?page=2&q=tenant"), http.StatusOK, `?page=1&amp;q=tenant&amp;sort=name">Previous<`, `?page=3&amp;q=tenant&amp;sort=name">Next<`)
		a.want(a.get("?page=11"), http.StatusOK, "tenant-999", "Page 11 of 11", "!tenant-900")
		a.want(a.get("?page=99"), http.StatusOK, "Page 11 of 11")
		a.want(a.get("?q=T-50"), http.StatusOK, "10 of 1,001 queues", "tenant-509", "!tenant-510")
		a.want(a.get("?only=dead"), http.StatusOK, "1 of 1,001 queues", ">emails<", "!tenant-0")
		if p := a.get("?sort=waiting"); strings.Index(p.text, ">tenant-500<") > strings.Index(p.text, ">tenant-000<") {
			t.Errorf("the queue with most waiting jobs is not the first")
		}
		a.want(a.get("?q=nothing"), http.StatusOK, "No queue matches")
	})
}

// Of too many queues the first are shown, and it is said.
func TestTooManyQueues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newCounter()
		for i := range maxQueues + 1 {
			d.names = append(d.names, fmt.Sprintf("q%04d", i))
		}
		a := openApp(t, d, Config{})
		a.want(a.get(""), http.StatusOK, "There are more queues", "5,000 queues")
		if _, err := New(d, Config{Queues: slices.Clone(d.names)}); !errors.Is(err, batch.ErrInvalid) {
			t.Errorf("too many names: %v", err)
		}
	})
}
