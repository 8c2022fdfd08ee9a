package browser_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// browser is the one of all tests. Each has a profile of its own in it.
var browser struct {
	sync.Mutex
	// guards following
	ctx   context.Context
	close func()
}

// startBrowser starts the browser for the first test that needs one, and returns its context.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	browser.Lock()
	defer browser.Unlock()
	if browser.ctx != nil {
		return browser.ctx
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(programFor(t, "chromium.sh")),
		chromedp.Flag("hide-scrollbars", false), // a page that is wider than the window shows
		chromedp.Flag("font-render-hinting", "none"),
	)
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // which Chromium does not have for root
	}
	allocator, freed := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	if err := chromedp.Do(ctx); err != nil {
		cancel()
		freed()
		t.Fatal(err)
	}
	browser.ctx = ctx
	browser.close = func() {
		cancel()
		freed()
		chromedp.FromContext(ctx).Allocator.Wait()
	}
	return ctx
}

// closeBrowser ends the browser, if one was started.
func closeBrowser() {
	browser.Lock()
	defer browser.Unlock()
	if browser.close != nil {
		browser.close()
	}
}

// programFor is the path that a script prints, which sees to what is there. As for brokers, a test without it is skipped, and
// fails in CI.
func programFor(t *testing.T, script string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "../../scripts/"+script)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		if ci, _ := strconv.ParseBool(os.Getenv("CI")); ci {
			t.Fatalf("%s: %v: %s", script, err, &stderr)
		}
		t.Skipf("no browser to test with: %s", strings.Join(strings.Fields(stderr.String()), " "))
	}
	return strings.TrimSpace(string(out))
}
