package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver/memory"
)

func TestDuplicatesHaveOneEffect(t *testing.T) {
	d := memory.New()
	defer d.Close(t.Context())
	var out bytes.Buffer
	if err := run(t.Context(), d, &out); err != nil {
		t.Fatal(err)
	}
	if want := "4 jobs done, 2 charges made, 6499 cents\n"; !strings.HasSuffix(out.String(), want) {
		t.Errorf("the output does not end with %q:\n%s", want, &out)
	}
}
