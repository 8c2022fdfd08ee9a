package sqs

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssqs "github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/batch-go/batch/driver"
)

// serve is the fake behind HTTP. The server answers nothing while frozen is set.
func (f *fakeSQS) serve(t *testing.T, start func(*httptest.Server)) (endpoint string, frozen *atomic.Bool) {
	frozen = new(atomic.Bool)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if frozen.Load() {
			_, _ = io.Copy(io.Discard, r.Body) // else the server does not see the client leave
			<-r.Context().Done()
			return
		}
		answer, err := f.Do(r)
		if err != nil {
			return // the client left
		}
		for name, values := range answer.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(answer.StatusCode)
		_, _ = io.Copy(w, answer.Body)
	}))
	start(s)
	t.Cleanup(s.Close)
	return s.URL, frozen
}

// silence is the address of a server that takes connections and says nothing.
func silence(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var mu sync.Mutex
	var taken []net.Conn
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			taken = append(taken, c)
			mu.Unlock()
		}
	})
	t.Cleanup(func() {
		l.Close()
		all.Wait()
		for _, c := range taken {
			c.Close()
		}
	})
	return l.Addr().String()
}

// promptlyEnds calls do with a deadline, and fails if it returns more than a tenth of a
// second after it, beyond what timers of this machine are late by.
func promptlyEnds(t *testing.T, what string, do func(context.Context) error) error {
	t.Helper()
	const patience = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var lateness atomic.Int64
	begin := time.Now()
	timer := time.AfterFunc(patience, func() { lateness.Store(int64(time.Since(begin) - patience)) })
	defer timer.Stop()
	err := do(ctx)
	took := time.Since(begin)
	if over := took - patience - 3*time.Duration(lateness.Load()); over > 100*time.Millisecond {
		t.Errorf("%s returned %s after its deadline: %v", what, over, err)
	}
	return err
}

// Every call keeps its deadline on a server that has stopped answering.
func TestDeadlineOfEveryCall(t *testing.T) {
	f := newFake()
	endpoint, frozen := f.serve(t, (*httptest.Server).Start)
	u := "sqs://key:secret@us-east-1/?" + url.Values{"endpoint": {endpoint}, "wait": {"1s"}}.Encode()
	d, err := Open(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	put(t, d, job("a", 0), job("b", 0))
	c := consume(t, d, 30*time.Second)
	held := []*driver.Delivery{receive(t, c), receive(t, c)}
	frozen.Store(true)
	all := driver.Selection{All: true}
	var calls sync.WaitGroup
	for what, call := range map[string]func(context.Context) error{
		"Open":              func(ctx context.Context) error { _, err := Open(ctx, u); return err },
		"Declare":           func(ctx context.Context) error { return d.Declare(ctx, "other") },
		"DeleteQueue":       func(ctx context.Context) error { return d.DeleteQueue(ctx, "other") },
		"Enqueue":           func(ctx context.Context) error { return d.Enqueue(ctx, "q", []*driver.Message{job("a", 0)})[0].Err },
		"Enqueue elsewhere": func(ctx context.Context) error { return d.Enqueue(ctx, "other", []*driver.Message{job("a", 0)})[0].Err },
		"Import": func(ctx context.Context) error {
			return d.Import(ctx, "q", []*driver.Entry{importEntry("i", driver.StateDead)})[0].Err
		},
		"Depth":       func(ctx context.Context) error { _, err := d.Depth(ctx, "q"); return err },
		"DeadLetters": func(ctx context.Context) error { _, _, err := d.DeadLetters(ctx, "q", "", 1); return err },
		"Redrive":     func(ctx context.Context) error { _, err := d.Redrive(ctx, "q", all); return err },
		"Discard":     func(ctx context.Context) error { _, err := d.Discard(ctx, "q", all); return err },
		"ListQueues":  func(ctx context.Context) error { _, err := d.ListQueues(ctx); return err },
		"Consume elsewhere": func(ctx context.Context) error {
			_, err := d.Consume(ctx, "other", driver.ConsumeOptions{Lease: time.Minute})
			return err
		},
		"Receive": func(ctx context.Context) error { _, err := c.Receive(ctx, 1); return err },
		"Extend":  func(ctx context.Context) error { return c.Extend(ctx, held)[0] },
		"Settle with done": func(ctx context.Context) error {
			return c.Settle(ctx, []driver.Settlement{{Delivery: held[0], Outcome: driver.OutcomeDone}})[0]
		},
		"Settle with a retry": func(ctx context.Context) error {
			return c.Settle(ctx, []driver.Settlement{{Delivery: held[1], Outcome: driver.OutcomeRetry}})[0]
		},
	} {
		calls.Go(func() {
			if err := promptlyEnds(t, what, call); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", what, err)
			}
		})
	}
	calls.Wait()
	_ = promptlyEnds(t, "Abandon", func(ctx context.Context) error { c.Abandon(ctx, held); return nil })
	_ = promptlyEnds(t, "Stop", c.Stop)
	_ = promptlyEnds(t, "Close of the consumer", c.Close)
	another := consume(t, d, 30*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	_, _ = another.Receive(ctx, 1) // leaves a poll
	cancel()
	_ = promptlyEnds(t, "Close", d.Close)
}

// A job that is kept until it is due does not hold up a Close whose context has ended.
func TestCloseDoesNotWaitForAlmostDue(t *testing.T) {
	f := newFake()
	d, err := New(t.Context(), f.client(), Options{Wait: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Declare(t.Context(), "q"); err != nil {
		t.Fatal(err)
	}
	put(t, d, job("almost-due", 999*time.Millisecond))
	c := consume(t, d, 30*time.Second)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _ = c.Receive(ctx, 1)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_ = promptlyEnds(t, "Close", func(context.Context) error { return d.Close(ended) })
	if time.Since(epoch) < 0 {
		t.Error("the clock ran backwards")
	}
}

// stuck is a provider that knows no contexts.
type stuck struct{ until chan struct{} }

// Retrieve waits.
func (s stuck) Retrieve(context.Context) (aws.Credentials, error) {
	<-s.until
	return aws.Credentials{}, errors.New("too late")
}

// Opening keeps its deadline whatever it waits for: a dial, a handshake, an answer, the
// metadata server of a machine or a container, a provider of the application's own.
func TestDeadlineOfOpen(t *testing.T) {
	open := func(parameters url.Values) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := Open(ctx, "sqs://key:secret@us-east-1/?"+parameters.Encode())
			return err
		}
	}
	address := silence(t)
	for what, do := range map[string]func(context.Context) error{
		"a silent server":           open(url.Values{"endpoint": {"http://" + address}}),
		"a handshake":               open(url.Values{"endpoint": {"https://" + address}}),
		"a host that drops packets": open(url.Values{"endpoint": {"http://192.0.2.1"}}),
	} {
		err := promptlyEnds(t, what, do)
		if !errors.Is(err, driver.ErrUnavailable) || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("%s: %v", what, err)
		}
	}
	s := stuck{make(chan struct{})}
	defer close(s.until)
	options := newFake().client().Options()
	options.Credentials = s
	if err := promptlyEnds(t, "a stuck provider", func(ctx context.Context) error {
		_, err := New(ctx, awssqs.New(options), Options{})
		return err
	}); driver.FateOf(err) != driver.FateNotStored || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a stuck provider: %v", err)
	}
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", "none")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://"+silence(t))
	withoutKey := func(ctx context.Context) error {
		_, err := Open(ctx, "sqs://us-east-1/?"+url.Values{"endpoint": {"http://" + address}}.Encode())
		return err
	}
	for _, variable := range []string{"", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		if variable != "" {
			t.Setenv(variable, "http://"+silence(t))
		}
		if err := promptlyEnds(t, "a metadata server, "+variable, withoutKey); err == nil || driver.FateOf(err) != driver.FateNotStored {
			t.Errorf("a metadata server, %s: %v", variable, err)
		}
	}
}

// A connection that the server closed while it was idle fails no call. One whose end is seen too
// late may: the fate is that nothing is stored, or that it is unknown, where the job was written before
// the end was read. Nearly all ends are seen in time.
func TestIdleConnections(t *testing.T) {
	for name, start := range map[string]func(*httptest.Server){"HTTP": (*httptest.Server).Start, "TLS": (*httptest.Server).StartTLS} {
		f := newFake()
		var server *httptest.Server
		endpoint, _ := f.serve(t, func(s *httptest.Server) { server = s; start(s) })
		query := url.Values{"endpoint": {endpoint}}
		if name == "TLS" {
			ca := filepath.Join(t.TempDir(), "ca.pem")
			if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
				t.Fatal(err)
			}
			query.Set("tls_ca", ca)
		}
		d, err := Open(t.Context(), "sqs://key:secret@us-east-1/?"+query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll(t, d)
		if err := d.Declare(t.Context(), "q"); err != nil {
			t.Fatal(err)
		}
		const calls, late = 200, 20
		stored, unknown := 0, 0
		for range calls {
			server.CloseClientConnections()
			switch err := enqueued(t, d); {
			case err == nil:
				stored++
			case !errors.Is(err, driver.ErrUnavailable):
				t.Errorf("%s, on a connection that was closed while it was idle: %v", name, err)
			case driver.FateOf(err) == driver.FateUnknown:
				unknown++
			}
		}
		if n := len(f.queues["q"].messages); n < stored || n > stored+unknown || stored < calls-late {
			t.Errorf("%s: of %d jobs %d are stored, %d were confirmed, and of %d it is unknown", name, calls, n, stored, unknown)
		}
	}
	var own *http.Request
	_, _ = bodyCopier{doer(func(r *http.Request) (*http.Response, error) { own = r; return nil, errors.New("no") })}.Do(
		httptest.NewRequest(http.MethodPost, "http://fake", strings.NewReader("text")))
	for range 2 {
		body, err := own.GetBody()
		if err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(body); err != nil || string(text) != "text" {
			t.Errorf("the body for another connection is %q, %v", text, err)
		}
	}
	closedIdle := &url.Error{Op: "Post", URL: "http://fake", Err: errors.New("http: server closed idle connection")}
	if v := classify(closedIdle); v.Fate != driver.FateNotStored || v.Kind != driver.ErrUnavailable {
		t.Errorf("%v is %+v", closedIdle, v)
	}
}

// doer is an HTTP client by a function.
type doer func(*http.Request) (*http.Response, error)

// Do calls it.
func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }
