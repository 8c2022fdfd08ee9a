package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/batch-go/batch/driver"
)

// reportVariable names the folder for records in the environment.
const reportVariable = "BATCH_CONFORMANCE_REPORT"

// Record is what a run of the suite has shown. Two runs on the same release of
// a broker leave the same record.
type Record struct {
	// Package and Type name the driver's type, and Driver the driver.
	Package, Type, Driver string
	// Broker and Version are the broker's own words, the version without what
	// comes after the minor number.
	Broker, Version string
	// Test is the name of the test that ran the suite.
	Test string
	// Limits are those of driver.Limits, and those of the capabilities, by the
	// name of the field or method. Durations are as time.Duration has them.
	Limits map[string]string
	// Capabilities are the names of those that the driver's type has.
	Capabilities []string
	// Cases are all that ran, in the order of [Cases]. All have passed.
	Cases []RecordedCase
	// Refused are the capabilities that the compiler was seen to refuse.
	Refused []string
}

// RecordedCase is a case that ran.
type RecordedCase struct {
	Name  string
	Needs []string `json:",omitempty"`
}

// write writes the record to a file of its own, in a folder that it makes.
func (rec *Record) write(folder string) error {
	text, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	name := fmt.Sprintf("%s-%s-%s.json", rec.Driver, rec.Type, rec.Test)
	return os.WriteFile(filepath.Join(folder, badCharacters.ReplaceAllString(name, "_")), append(text, '\n'), 0o644)
}

// badCharacters are those that do not belong in the name of a file.
var badCharacters = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// minor is a version as far as its minor number.
var minor = regexp.MustCompile(`^v?\d+\.\d+`)

// release cuts a version after the minor number, if it has one.
func release(version string) string {
	if found := minor.FindString(version); found != "" && !strings.Contains(version, " ") {
		return found
	}
	return version
}

// limits are those that a driver states.
func limits(d driver.Driver) map[string]string {
	all := make(map[string]string)
	v := reflect.ValueOf(d.Info().Limits)
	for i := range v.NumField() {
		all[v.Type().Field(i).Name] = text(v.Field(i).Interface())
	}
	if p, ok := d.(driver.Prioritizer); ok {
		all["PriorityLevels"] = text(p.PriorityLevels())
	}
	if p, ok := d.(driver.Delayer); ok {
		all["MaxDelay"] = text(p.MaxDelay())
	}
	if p, ok := d.(driver.Deduplicator); ok {
		all["DedupWindow"] = text(p.DedupWindow())
	}
	if p, ok := d.(driver.Grouper); ok {
		all["MaxGroups"] = text(p.MaxGroups())
	}
	if p, ok := d.(driver.AtomicEnqueuer); ok {
		all["AtomicLimit"] = text(p.AtomicLimit())
	}
	if p, ok := d.(driver.Transactional); ok {
		all["TxType"] = p.TxType().String()
	}
	return all
}

// text is a limit in words.
func text(limit any) string {
	if d, ok := limit.(time.Duration); ok {
		return d.String()
	}
	return fmt.Sprint(limit)
}
