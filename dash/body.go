package dash

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"mime"
	"strings"
	"unicode/utf8"

	"github.com/batch-go/batch"
)

const (
	// maxShown is how much of a body that is text a page shows, and maxDump of one that is not.
	maxShown, maxDump = 64 << 10, 2 << 10
	// maxNesting is how deep JSON is nested at most that is indented: each line has as many spaces as it is deep, so that a
	// short body could become a very long one.
	maxNesting = 50
	// maxEdit is the largest body that can be edited in a page.
	maxEdit = 256 << 10
)

// body is a body as a page shows it.
type body struct {
	Text string
	Size int
	// Cut is how many bytes are shown, zero for all, and Dump tells that they are shown as numbers.
	Cut  int
	Dump bool
	// Indented tells that the text is indented for reading.
	Indented bool
}

// bodyOf shows a body.
func bodyOf(e *batch.Entry) body {
	b := body{Size: len(e.Body)}
	content := e.Body
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		b.Dump = true
		if len(content) > maxDump {
			content, b.Cut = content[:maxDump], maxDump
		}
		b.Text = hex.Dump(content)
		return b
	}
	if isJSON(e.ContentType) && len(content) <= maxShown && nesting(content) <= maxNesting {
		var indented bytes.Buffer
		if json.Indent(&indented, content, "", "  ") == nil && indented.Len() <= 4*maxShown {
			b.Indented = !bytes.Equal(indented.Bytes(), content)
			content = indented.Bytes()
		}
	} else if len(content) > maxShown {
		content, b.Cut = content[:maxShown], maxShown
	}
	b.Text = printable(strings.ToValidUTF8(string(content), ""))
	return b
}

// nesting is how deep JSON is nested.
func nesting(content []byte) (deepest int) {
	depth, quoted, escaped := 0, false, false
	for _, c := range content {
		switch {
		case escaped:
			escaped = false
		case c == '"':
			quoted = !quoted
		case quoted:
			escaped = c == '\\'
		case c == '[', c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']', c == '}':
			depth--
		}
	}
	return deepest
}

// isJSON tells whether a content type is that of JSON.
func isJSON(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/json" || strings.HasSuffix(kind, "+json"))
}

// uneditable says why a body cannot be edited in a form, and nothing if it can: what comes back must be what was there,
// where nobody changed it. A form makes one kind of line end of all.
func uneditable(content []byte) string {
	switch {
	case len(content) > maxEdit:
		return "it is larger than " + size(maxEdit)
	case !utf8.Valid(content):
		return "it is not text"
	case bytes.IndexByte(content, '\r') >= 0:
		return "its line ends are not those of a form"
	case printable(string(content)) != string(content):
		return "it has characters that no form shows"
	}
	return ""
}
