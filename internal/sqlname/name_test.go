package sqlname

import (
	"strings"
	"testing"
)

func TestNames(t *testing.T) {
	for _, name := range []string{"k", "_k9", "app.keys", strings.Repeat("k", 48)} {
		if n, err := Parse(name); err != nil || n.String() != name {
			t.Errorf("the name %q became %q; error %v", name, n, err)
		}
	}
	for _, name := range []string{"", "K", "9k", "k-k", `k"`, "k`", "a.b.c", ".k", "k.", "k k", strings.Repeat("k", 49)} {
		if _, err := Parse(name); err == nil {
			t.Errorf("the name %q was taken", name)
		}
	}
	n, err := Parse("app.keys")
	if err != nil {
		t.Fatal(err)
	}
	if quoted, bare := n.Quoted(`"`, "_x"), n.Bare("`", "_x"); quoted != `"app"."keys_x"` || bare != "`keys_x`" {
		t.Errorf("the name is quoted as %s, and %s without its schema", quoted, bare)
	}
}
