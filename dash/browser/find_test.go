package browser_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// The roles of what people use, as browsers tell them to a screen reader.
const (
	link     = "link"
	button   = "button"
	textbox  = "textbox"
	checkbox = "checkbox"
	heading  = "heading"
)

// region is an element below which something is looked for: the page, or the nth smallest row, item or section that has a text.
func region(text string, n int) string {
	if text == "" {
		return "document.body"
	}
	return fmt.Sprintf(`[...document.querySelectorAll("tr, li, article, section, form, fieldset, dialog, details")]
		.filter(e => e.innerText.includes(%q)).sort((a, b) => a.innerText.length - b.innerText.length)[%d]`, text, n)
}

// errNone says that nothing of a role and a name is there.
var errNone = errors.New("it is not on the page")

// find is an element by its role and its name, in the smallest region with a text that has one. It fails if there is none, or
// more than one.
func find(role, name, within string) chromedp.Action[cdp.BackendNodeID] {
	return func(ctx context.Context, t *chromedp.Target) (cdp.BackendNodeID, error) {
		for n := 0; n == 0 || within != ""; n++ {
			root, err := chromedp.Evaluate[*runtime.RemoteObject](region(within, n))(ctx, t)
			if err != nil {
				return 0, err
			}
			if root.ObjectID == "" {
				break
			}
			found, err := cdp.Call(ctx, t, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{ObjectID: root.ObjectID, Role: role, AccessibleName: name})
			if err != nil {
				return 0, err
			}
			nodes := slices.DeleteFunc(found.Nodes, func(n *accessibility.Node) bool { return n.Ignored })
			switch len(nodes) {
			case 0:
			case 1:
				return nodes[0].BackendDOMNodeID, nil
			default:
				return 0, fmt.Errorf("there are %d", len(nodes))
			}
		}
		return 0, errNone
	}
}

// wait finds an element, as soon as it is there.
func (b *tab) wait(role, name, within string) cdp.BackendNodeID {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, bound)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		node, err := chromedp.Run(ctx, find(role, name, within))
		if err == nil {
			return node
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			b.t.Fatalf("%s %q in %q: %v; the page has\n%s\n%s", role, name, within, err, strings.Join(b.usable(), "\n"), b.text())
		}
	}
}

// usable lists what the page has to use, as a screen reader would.
func (b *tab) usable() []string {
	b.t.Helper()
	tree := get(b, func(ctx context.Context, t *chromedp.Target) (accessibility.GetFullAXTreeResult, error) {
		return cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	})
	var all []string
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil || n.Name == nil {
			continue
		}
		var role, name string
		_ = json.Unmarshal(n.Role.Value, &role)
		_ = json.Unmarshal(n.Name.Value, &name)
		switch role {
		case link, button, textbox, "searchbox", "combobox", checkbox, heading, "DisclosureTriangle":
			all = append(all, role+" "+name)
		}
	}
	return all
}

// click clicks on the middle of an element in a region, with the mouse.
func (b *tab) click(role, name, within string) {
	b.t.Helper()
	node := b.wait(role, name, within)
	b.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		if _, err := cdp.Call(ctx, t, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: node}); err != nil {
			return err
		}
		quads, err := cdp.Call(ctx, t, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: node})
		if err != nil {
			return err
		}
		if len(quads.Quads) == 0 {
			return fmt.Errorf("%s %q has no place on the page", role, name)
		}
		q := quads.Quads[0]
		_, err = chromedp.MouseClickXY((q[0]+q[4])/2, (q[1]+q[5])/2)(ctx, t)
		return err
	}))
}

// fill writes a text over what a field has.
func (b *tab) fill(role, name, within, text string) {
	b.t.Helper()
	b.click(role, name, within)
	b.do(
		chromedp.KeyEvent("a", chromedp.KeyModifiers(chromedp.ModifierCtrl)),
		chromedp.KeyEvent(kb.Backspace),
		send(input.InsertText, input.InsertTextParams{Text: text}),
	)
}

// press presses keys, one after the other.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		b.do(chromedp.KeyEvent(key))
	}
}
