package browser_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// watch collects what the browser says of the pages in a tab.
type watch struct {
	sync.Mutex
	// guards following
	complaints []string
	tolerated  []string
	loads      int
}

// see takes one event. It is called for one at a time.
func (w *watch) see(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		w.complain("console.%s: %s", e.Type, asJSON(e.Args))
	case *runtime.EventExceptionThrown:
		w.complain("an exception: %s", asJSON(e.ExceptionDetails))
	case *log.EventEntryAdded:
		w.complain("log: %s: %s: %s (%s)", e.Entry.Level, e.Entry.Source, e.Entry.Text, e.Entry.URL)
	case *audits.EventIssueAdded:
		w.complain("an issue: %s", asJSON(e.Issue))
	case *page.EventJavascriptDialogOpening:
		w.complain("a dialog: %s", e.Message)
	case *page.EventFrameNavigated:
		w.Lock()
		w.loads++
		w.Unlock()
	}
}

// complain notes what should not have happened.
func (w *watch) complain(format string, args ...any) {
	w.Lock()
	defer w.Unlock()
	text := fmt.Sprintf(format, args...)
	if !slices.ContainsFunc(w.tolerated, func(part string) bool { return strings.Contains(text, part) }) {
		w.complaints = append(w.complaints, text)
	}
}

// tolerate lets the browser say from now on what has one of some texts, since a test provokes it.
func (w *watch) tolerate(texts ...string) {
	w.Lock()
	defer w.Unlock()
	w.tolerated = append(w.tolerated, texts...)
}

// take is what was said so far, and forgets it.
func (w *watch) take() []string {
	w.Lock()
	defer w.Unlock()
	taken := w.complaints
	w.complaints = nil
	return taken
}

// forget takes back the complaints that have a text, which a test has provoked, and tells whether there was one.
func (w *watch) forget(text string) bool {
	w.Lock()
	defer w.Unlock()
	before := len(w.complaints)
	w.complaints = slices.DeleteFunc(w.complaints, func(c string) bool { return strings.Contains(c, text) })
	return len(w.complaints) < before
}

// pages is how many pages were loaded so far.
func (w *watch) pages() int {
	w.Lock()
	defer w.Unlock()
	return w.loads
}

// asJSON is for a reader of a failure.
func asJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%v: %+v", err, v)
	}
	return string(text)
}
