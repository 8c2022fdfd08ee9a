package driver_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

func TestLevelIsItsNameAsText(t *testing.T) {
	for level, name := range map[driver.Level]string{
		driver.Trivial: "trivial", driver.Low: "low", driver.Normal: "normal", driver.High: "high", driver.Critical: "critical",
	} {
		if level.String() != name {
			t.Errorf("Level(%d).String() = %q, want %q", int8(level), level, name)
		}
		text, err := json.Marshal(level)
		if err != nil || string(text) != `"`+name+`"` {
			t.Errorf("json.Marshal(%s) = %s, %v", level, text, err)
		}
		got := driver.Level(5)
		if err := json.Unmarshal(text, &got); err != nil || got != level {
			t.Errorf("json.Unmarshal(%s) = %s, %v", text, got, err)
		}
		if got, err := driver.ParseLevel(strings.ToUpper(name)); err != nil || got != level {
			t.Errorf("ParseLevel(%q) = %s, %v", strings.ToUpper(name), got, err)
		}
	}
}

func TestLevelRefusesWhatIsNone(t *testing.T) {
	for _, name := range []string{"", "hi", "2", "normal ", strings.Repeat("x", 1<<20)} {
		_, err := driver.ParseLevel(name)
		if !errors.Is(err, driver.ErrConfig) || len(err.Error()) > 200 {
			t.Errorf("ParseLevel(%.20q) = %.200v, want a short error that wraps ErrConfig", name, err)
		}
	}
	if text, err := json.Marshal(driver.Level(3)); err == nil {
		t.Errorf("json.Marshal(Level(3)) = %s, want an error", text)
	}
	if got := driver.Level(3).String(); got != "Level(3)" {
		t.Errorf("Level(3).String() = %q", got)
	}
}
