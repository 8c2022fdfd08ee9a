package conformance

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver/memory"
)

// TestRecord writes the record of a run twice, and reads it.
func TestRecord(t *testing.T) {
	d := memory.New()
	defer d.Close(t.Context())
	r := &run{
		subject: reflect.TypeOf(d), info: d.Info(), capabilities: batch.Capabilities(d)[:1], limits: limits(d),
		took: map[string]time.Duration{"exact-cover": 7, Cases()[0].Name: 8},
	}
	r.info.Version = "8.0.2"
	folder := filepath.Join(t.TempDir(), "made")
	var texts [][]byte
	for range 2 {
		if err := r.record("TestX/y").write(folder); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join(folder, "memory-Driver-TestX_y.json"))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	if !bytes.Equal(texts[0], texts[1]) {
		t.Errorf("two records of one run differ:\n%s\n%s", texts[0], texts[1])
	}
	var rec Record
	if err := json.Unmarshal(texts[0], &rec); err != nil {
		t.Fatal(err)
	}
	if rec.Package != "github.com/batch-go/batch/driver/memory" || rec.Type != "Driver" || rec.Driver != "memory" || rec.Version != "8.0" {
		t.Errorf("the record is of %+v", rec)
	}
	if len(rec.Cases) != 2 || rec.Cases[0].Name != Cases()[0].Name || rec.Cases[1].Name != "exact-cover" {
		t.Errorf("the cases are %v", rec.Cases)
	}
	if len(rec.Capabilities) != 1 || len(rec.Refused) != len(allCapabilities)-1 || slices.Contains(rec.Refused, rec.Capabilities[0]) {
		t.Errorf("the capabilities are %v, and refused are %v", rec.Capabilities, rec.Refused)
	}
	if rec.Limits["PriorityLevels"] != "5" || rec.Limits["MaxDelay"] != d.MaxDelay().String() || rec.Limits["MaxBody"] == "" {
		t.Errorf("the limits are %v", rec.Limits)
	}
}

func TestRelease(t *testing.T) {
	for version, want := range map[string]string{
		"8.0.2": "8.0", "4.3.6-rc.1": "4.3", "2.15": "2.15", "1": "1", "API 2012-11-05": "API 2012-11-05", "": "",
	} {
		if got := release(version); got != want {
			t.Errorf("the release of %q is %q, want %q", version, got, want)
		}
	}
}
