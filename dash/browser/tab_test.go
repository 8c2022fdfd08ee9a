package browser_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/audits"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A look is what a person has a page on.
type look struct {
	width, height int64
	phone, dark   bool
}

// The looks of these tests.
var (
	desk  = look{width: 1100, height: 780}
	night = look{width: 1100, height: 780, dark: true}
	phone = look{width: 390, height: 844, phone: true}
)

// tab is a tab of the browser, with a profile of its own.
type tab struct {
	t     *testing.T
	ctx   context.Context
	watch *watch
}

// open opens a tab that looks at a site. It is closed at the end of the test, which fails if the browser had anything to say
// of the pages: an error or a warning on the console, a breach of the content security policy, a dialog, an exception.
func open(t *testing.T, l look) *tab {
	t.Helper()
	w := new(watch)
	ctx, cancel := chromedp.NewContext(startBrowser(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(w.see))
	b := &tab{t: t, ctx: ctx, watch: w}
	b.do(send(audits.Enable, cdp.Empty{}))
	t.Cleanup(func() {
		cancel()
		for _, complaint := range w.take() {
			t.Errorf("the browser says: %s", complaint)
		}
	})
	b.look(l)
	return b
}

// look changes what the page is looked at on.
func (b *tab) look(l look) {
	b.t.Helper()
	scheme := "light"
	if l.dark {
		scheme = "dark"
	}
	metrics := emulation.SetDeviceMetricsOverrideParams{Width: l.width, Height: l.height, DeviceScaleFactor: 1, Mobile: l.phone}
	if l.phone {
		metrics.DeviceScaleFactor = 2
	}
	b.do(
		send(emulation.SetDeviceMetricsOverride, metrics),
		send(emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: l.phone}),
		send(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
			{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"},
		}}),
	)
}

// withoutScripts switches JavaScript off, as people do.
func (b *tab) withoutScripts() {
	b.t.Helper()
	b.do(send(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}))
}

// send makes an action of a command to the browser.
func send[P, R any](command cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// do does what has to work.
func (b *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// get is what an action that has to work returns.
func get[T any](b *tab, action chromedp.Action[T]) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, action)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// eval is the value of an expression on the page.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	return get(b, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// visit goes to an address, as if it had been typed.
func (b *tab) visit(address string) {
	b.t.Helper()
	b.do(chromedp.Navigate(address))
}

// text is all that can be read on the page.
func (b *tab) text() string {
	b.t.Helper()
	return eval[string](b, "document.body.innerText")
}

// await waits until an expression on the page is true, which what describes. A page that is just being left is asked again.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, bound)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		good, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if good && err == nil {
			return
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			b.t.Fatalf("%s does not come: %v; the page is\n%s", what, err, b.text())
		}
	}
}

// sees waits until texts can be read.
func (b *tab) sees(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.await(fmt.Sprintf("the text %q", text), fmt.Sprintf("document.body.innerText.includes(%q)", text))
	}
}

// loses waits until texts can be read no more.
func (b *tab) loses(texts ...string) {
	b.t.Helper()
	for _, text := range texts {
		b.await(fmt.Sprintf("a page without %q", text), fmt.Sprintf("!document.body.innerText.includes(%q)", text))
	}
}

// lacks checks that texts are nowhere in the page's source, seen or not.
func (b *tab) lacks(texts ...string) {
	b.t.Helper()
	source := eval[string](b, "document.documentElement.outerHTML")
	for _, text := range texts {
		if strings.Contains(source, text) {
			b.t.Errorf("%q is in the page", text)
		}
	}
}

// location is the address of the page.
func (b *tab) location() string {
	b.t.Helper()
	return eval[string](b, "location.href")
}

// forgets waits until the browser has said something with a text, as a test means it to, and takes it back.
func (b *tab) forgets(text string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, bound)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for !b.watch.forget(text) {
		select {
		case <-again.C:
		case <-ctx.Done():
			b.t.Fatalf("the browser does not say %q, but %q", text, b.watch.take())
		}
	}
}
