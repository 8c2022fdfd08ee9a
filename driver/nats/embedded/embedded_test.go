package embedded_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/conformance"
	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats/embedded"
	"github.com/batch-go/batch/internal/leak"
)

// childDirectory makes the test binary the process that a test kills.
const childDirectory = "BATCH_TEST_EMBEDDED_DIR"

func TestMain(m *testing.M) {
	if directory := os.Getenv(childDirectory); directory != "" {
		child(directory)
	}
	leak.Main(m)
}

// bound is how long a test waits for what should come at once.
const bound = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	t.Cleanup(cancel)
	return ctx
}

func message(id string) *driver.Message {
	return &driver.Message{ID: id, Kind: "test", Body: []byte("{}"), ContentType: "application/json", EnqueuedAt: time.UnixMilli(1e12).UTC()}
}

// child enqueues jobs, prints the ID of each that was accepted, and never ends.
func child(directory string) {
	ctx := context.Background()
	d, err := embedded.New(ctx, directory, embedded.Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	if err := d.Declare(ctx, "q"); err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for n := 0; ; n++ {
		m := message(fmt.Sprint("job-", n))
		if n%3 == 0 {
			m.DedupKey = m.ID
		}
		for _, r := range d.Enqueue(ctx, "q", []*driver.Message{m}) {
			if r.Err != nil {
				fmt.Println("error", r.Err)
				os.Exit(1)
			}
		}
		fmt.Println(m.ID)
	}
}

func TestConformance(t *testing.T) {
	url := "jetstream://" + filepath.ToSlash(t.TempDir()) + "?dedup_window=3s"
	// The server lives while one handle does.
	first, err := embedded.Open(testContext(t), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := first.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	// One queue is always there: a server that loses its last stream removes their
	// directory, and one that is made in that moment fails. Other programs try
	// again, cases do not.
	if err := first.Declare(testContext(t), "anchor"); err != nil {
		t.Fatal(err)
	}
	conformance.Run(t, conformance.Harness{
		Open:          func(ctx context.Context) (driver.Driver, error) { return embedded.Open(ctx, url) },
		Broker:        "a directory",
		BehindBacklog: "a release is a new entry of the stream, as a NAK counts as a lost holder",
		URL:           url,
		// The server is in this process, and under the race detector as well.
		Lease: 5 * time.Second, Slack: 5 * time.Second, Timeout: 3 * time.Minute, Parallel: 8, Waiting: 24,
	})
}

// TestSurvivesKill starts another process that enqueues into a directory, is
// refused to share it, kills that process with SIGKILL, and finds every job that it
// was promised.
func TestSurvivesKill(t *testing.T) {
	directory := t.TempDir()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDirectory+"="+directory)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	accepted := make(map[string]bool)
	lines := bufio.NewScanner(out)
	for len(accepted) < 500 && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "error") {
			t.Fatal(lines.Text())
		}
		accepted[lines.Text()] = true
	}
	_, err = embedded.New(testContext(t), directory, embedded.Options{})
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "another process") {
		t.Errorf("opening a directory that another process has open: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // what it said before it died
		accepted[lines.Text()] = true
	}
	_ = cmd.Wait()

	ctx := testContext(t)
	d, err := embedded.New(ctx, directory, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(ctx)
	again := message("again")
	again.DedupKey = "job-3"
	if r := d.Enqueue(ctx, "q", []*driver.Message{again}); len(r) != 1 || !r[0].Duplicate || r[0].DuplicateOf != "job-3" {
		t.Errorf("a key of before the kill: %+v", r)
	}
	c, err := d.Consume(ctx, "q", driver.ConsumeOptions{Lease: 30 * time.Second, Prefetch: 1000})
	if err != nil {
		t.Fatal(err)
	}
	count := len(accepted)
	for len(accepted) > 0 {
		deliveries, err := c.Receive(ctx, 1000)
		if err != nil {
			t.Fatalf("with %d of %d accepted jobs missing: %v", len(accepted), count, err)
		}
		for _, got := range deliveries {
			delete(accepted, got.ID)
			if errs := c.Settle(ctx, []driver.Settlement{{Delivery: got, Outcome: driver.OutcomeDone}}); errs != nil {
				t.Fatal(errs)
			}
		}
	}
	t.Logf("%d accepted jobs were there after SIGKILL", count)
}

func TestSharesTheServerInTheProcess(t *testing.T) {
	ctx := testContext(t)
	directory := t.TempDir()
	one, err := embedded.New(ctx, directory, embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	two, err := embedded.New(ctx, directory+"/.", embedded.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Declare(ctx, "q"); err != nil {
		t.Fatal(err)
	}
	if err := one.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if r := two.Enqueue(ctx, "q", []*driver.Message{message("job")}); r != nil {
		t.Fatal(r)
	}
	if _, err := embedded.New(ctx, directory, embedded.Options{SyncAlways: true}); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("opening it with other parameters: %v", err)
	}
	for range 2 {
		if err := two.Close(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.Declare(ctx, "q"); !errors.Is(err, driver.ErrClosed) {
		t.Errorf("declare after close: %v", err)
	}
	// The last one released the directory, and left the job in it.
	three, err := embedded.New(ctx, directory, embedded.Options{SyncAlways: true})
	if err != nil {
		t.Fatal(err)
	}
	defer three.Close(ctx)
	if depth, err := three.Depth(ctx, "q"); err != nil || depth.Waiting != 1 {
		t.Errorf("depth is %+v, %v", depth, err)
	}
	if info := three.Info(); info.Driver != "jetstream" || info.Version == "" {
		t.Errorf("info is %+v", info)
	}
}

func TestURLs(t *testing.T) {
	t.Chdir(t.TempDir())
	absolute, err := filepath.Abs("a")
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{"jetstream:jobs", "jetstream:jobs/below?sync=always", "jetstream://" + filepath.ToSlash(absolute) + "?sync_interval=50ms&prefix=p&max_bytes=104857600"} {
		d, err := batch.Open[driver.Driver](testContext(t), good)
		if err != nil {
			t.Errorf("%s: %v", good, err)
			continue
		}
		if err := d.Close(testContext(t)); err != nil {
			t.Error(err)
		}
	}
	for _, directory := range []string{"jobs/jetstream", "jobs/below/jetstream", "a/jetstream"} {
		if _, err := os.Stat(directory); err != nil {
			t.Error(err)
		}
	}
	for bad, word := range map[string]string{
		"jetstream:":                               "form",
		"jetstream://host/path":                    "form",
		"jetstream://user@/path":                   "form",
		"jetstream:a?sync=never":                   "sync",
		"jetstream:a?sync_interval=1ms":            "sync_interval",
		"jetstream:a?sync=always&sync_interval=1s": "exclude",
		"jetstream:a?max_bytes=1":                  "max_bytes",
		"jetstream:a?replicas=3":                   "replicas",
		"jetstream:a?prefix=a.b":                   "prefix",
		"jetstream:%zz":                            "",
		"jetstream:/dev/null/x":                    "",
	} {
		d, err := embedded.Open(testContext(t), bad)
		if err == nil {
			_ = d.Close(testContext(t))
		}
		if !errors.Is(err, driver.ErrConfig) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := embedded.Open(ended, "jetstream:b"); !errors.Is(err, context.Canceled) {
		t.Errorf("open with a ctx that ended: %v", err)
	}
	if _, err := embedded.New(testContext(t), "b", embedded.Options{SyncInterval: time.Nanosecond}); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("a sync interval of a nanosecond: %v", err)
	}
	if _, err := embedded.New(testContext(t), "b", embedded.Options{MaxBytes: -1}); !errors.Is(err, driver.ErrConfig) {
		t.Errorf("fewer bytes than none: %v", err)
	}
}
