package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/batch-go/batch/internal/brokers"
)

// dashboard is a batch dash that serves in this process.
type dashboard struct {
	dashRecord
	t   *testing.T
	end func() result
}

// dashHere starts a dashboard on a free port, and ends it with the test.
func dashHere(t *testing.T, url string, args ...string) *dashboard {
	t.Helper()
	ctx, cancel := context.WithCancelCause(testContext(t))
	out, printed := io.Pipe()
	var errs bytes.Buffer
	a := newApp(strings.NewReader(""), printed, &errs, func(name string) string { return map[string]string{"BATCH_URL": url}[name] })
	ended := make(chan int, 1)
	go func() {
		code := a.run(ctx, append([]string{"dash", "--listen", "127.0.0.1:0", "-json"}, args...))
		_ = printed.Close()
		ended <- code
	}()
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil {
		cancel(nil)
		t.Fatalf("batch dash ended with %d: %s", <-ended, &errs)
	}
	d := &dashboard{t: t}
	if err := json.Unmarshal(line, &d.dashRecord); err != nil {
		t.Fatal(err)
	}
	var last *result
	d.end = func() result {
		if last == nil {
			cancel(signalError{os.Interrupt})
			last = &result{code: <-ended}
			last.err = errs.String()
		}
		return *last
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		d.end().want(t, exitOK)
	})
	return d
}

// get asks for an address, and returns the status and the text.
func (d *dashboard) get(url string) (status int, text string) {
	d.t.Helper()
	response, err := http.Get(url)
	if err != nil {
		d.t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return response.StatusCode, string(content)
}

// redrive sends the form that redrives a dead letter, as a page of the dashboard would, and returns the status.
func (d *dashboard) redrive(queue, id string) int {
	d.t.Helper()
	form := url.Values{"which": {"some"}, "id": {id}}
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodPost, d.URL+"queues/"+queue+"/redrive", strings.NewReader(form.Encode()))
	if err != nil {
		d.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		d.t.Error(err)
	}
	return response.StatusCode
}

// TestDashSecret: who does not have the printed address sees nothing.
func TestDashSecret(t *testing.T) {
	url := "memory://dashsecret"
	seed(t, open(t, url), "emails")
	d := dashHere(t, url)
	if status, text := d.get(d.URL); status != http.StatusOK || !strings.Contains(text, "emails") {
		t.Errorf("with the secret it answers %d:\n%s", status, text)
	}
	if status, _ := d.get(strings.TrimSuffix(d.URL, "/")); status != http.StatusOK {
		t.Errorf("without the last slash it answers %d", status)
	}
	secret := d.URL[strings.LastIndex(strings.TrimSuffix(d.URL, "/"), "/")+1:]
	host := strings.TrimSuffix(d.URL, secret)
	for _, path := range []string{"", "favicon.ico", strings.ToLower(secret), secret[1:], "x/" + secret, strings.Repeat("A", len(secret)-1) + "/"} {
		if status, text := d.get(host + path); status != http.StatusForbidden || strings.Contains(text, "emails") {
			t.Errorf("without the secret %q is answered with %d:\n%s", path, status, text)
		}
	}
	if other := dashHere(t, url); strings.HasSuffix(other.URL, secret) {
		t.Error("two runs have the same secret")
	}
}

// TestDashFlags: what is not allowed is not possible.
func TestDashFlags(t *testing.T) {
	address := "memory://dashflags"
	broker := open(t, address)
	seed(t, broker, "emails")
	for _, test := range []struct {
		args            []string
		actions, bodies bool
	}{
		{nil, false, false}, {[]string{"--show-bodies"}, false, true}, {[]string{"--allow-actions", "--show-bodies"}, true, true},
	} {
		d := dashHere(t, address, test.args...)
		if d.Actions != test.actions || d.Bodies != test.bodies {
			t.Errorf("batch dash %q says that it allows %+v", test.args, d.dashRecord)
		}
		if _, text := d.get(d.URL + "queues/emails/dead/job?id=0199a2c4"); strings.Contains(text, "user_id") != test.bodies {
			t.Errorf("batch dash %q shows a job as\n%s", test.args, text)
		}
		if status := d.redrive("emails", "0199a2c4"); (status == http.StatusOK) != test.actions {
			t.Errorf("batch dash %q answers a redrive with %d", test.args, status)
		}
	}
	if got := depth(t, broker, "emails"); got.Dead != 2 || got.Waiting != 3 {
		t.Errorf("after one redrive there are %+v", got)
	}
}

// TestDashQueues: --queue shows these queues and no others.
func TestDashQueues(t *testing.T) {
	url := "memory://dashqueues"
	broker := open(t, url)
	seed(t, broker, "emails")
	seed(t, broker, "reports")
	d := dashHere(t, url, "--queue", "emails")
	if _, text := d.get(d.URL); !strings.Contains(text, "emails") || strings.Contains(text, "reports") {
		t.Errorf("with --queue emails the page is\n%s", text)
	}
	here(t, url, "dash", "--queue", "e-mails & more").want(t, exitUsage, "invalid")
}

// TestDashAddress: it does not listen where others reach it, unless it is told to in so many words.
func TestDashAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for listen, want := range map[string]string{
		":0": "other machines reach this address", "0.0.0.0:0": "other machines", "[::]:0": "other machines", "192.0.2.7:80": "other machines",
		"127.0.0.1": "want an address and a port", "localhost:http:": "want an address", "no.such.host.invalid:80": "--listen",
		"127.0.0.1:99999": "--listen", taken.Addr().String(): "--listen 127.0.0.1:0 takes a free port",
	} {
		r := here(t, "memory://dashaddress", "dash", "--listen", listen)
		r.want(t, exitUsage, want)
		if r.out != "" {
			t.Errorf("--listen %s prints %q", listen, r.out)
		}
	}
	for _, listen := range []string{"localhost:0", "[::1]:0", "127.0.0.9:0"} {
		if l, err := net.Listen("tcp", listen); err != nil {
			t.Logf("this machine has no %s: %v", listen, err)
			continue
		} else if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		dashHere(t, "memory://dashaddress", "--listen", listen)
	}
	d := dashHere(t, "memory://dashaddress", "--listen", "0.0.0.0:0", "--expose-without-tls")
	if strings.Contains(d.URL, "0.0.0.0") {
		t.Errorf("%s is no address that a browser on another machine can open", d.URL)
	}
}

// TestDashEnds: a signal ends it as it is meant to end, also while a page is open that waits for news.
func TestDashEnds(t *testing.T) {
	t.Parallel()
	url := brokers.Redis(t, brokers.Redis8).URL() + "/6"
	seed(t, open(t, url), "emails")
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		c := process(t, url, "dash", "--listen", "127.0.0.1:0", "-q", "-json")
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var errs bytes.Buffer
		c.Stderr = &errs
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		var at dashRecord
		if err := json.NewDecoder(out).Decode(&at); err != nil {
			t.Fatal(err, errs.String())
		}
		d := &dashboard{t: t}
		if status, _ := d.get(at.URL); status != http.StatusOK {
			t.Errorf("it answers %d", status)
		}
		if err := c.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil || errs.Len() > 0 {
			t.Errorf("after %s it ends with %v: %s", signal, err, &errs)
		}
		if _, err := http.Get(at.URL); err == nil {
			t.Errorf("after %s it still answers", signal)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// made are what differs between two runs of batch dash.
var made = regexp.MustCompile(`127\.0\.0\.1:\d+/[A-Z2-7]{26}/`)

// TestDashTranscript holds what it prints against testdata and docs/cli.md.
func TestDashTranscript(t *testing.T) {
	t.Parallel()
	url := brokers.Redis(t, brokers.Redis8).URL() + "/7"
	seed(t, open(t, url), "emails")
	c := process(t, url, "dash", "--allow-actions", "--listen", "127.0.0.1:0")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	c.Stdout, c.Stderr = write, write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if err := write.Close(); err != nil {
		t.Fatal(err)
	}
	said := "$ export BATCH_URL=redis://localhost:6379\n$ batch dash --allow-actions\n"
	for lines := bufio.NewScanner(read); lines.Scan(); {
		said += made.ReplaceAllString(lines.Text(), "127.0.0.1:8420/SXVKKQGZ5DB3RBH2HYE6RHPCZM/") + "\n"
		if strings.Contains(lines.Text(), "Ctrl-C ends it") {
			if err := c.Process.Signal(os.Interrupt); err != nil {
				t.Fatal(err)
			}
			said += "^C\n"
		}
	}
	if err := c.Wait(); err != nil {
		t.Error(err)
	}
	compare(t, "dash", said)
}

// TestDashWithoutList: a broker that cannot list its queues is an error that says what to do.
func TestDashWithoutList(t *testing.T) {
	t.Parallel()
	url := brokers.RabbitMQ(t, brokers.RabbitMQ4).URL()
	away(t, url, "dash", "--listen", "127.0.0.1:0").want(t, exitUnsupported, "lacks QueueLister", "batch dash --queue emails --queue reports")
}
