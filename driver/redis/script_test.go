package redis

import (
	"strings"
	"testing"
)

func TestScriptsSayWhatTheyCost(t *testing.T) {
	entries, err := sources.ReadDir("scripts")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, _ := sources.ReadFile("scripts/" + e.Name())
		if e.Name() == "base.lua" || e.Name() == "lib.lua" {
			continue
		}
		for _, want := range []string{"-- " + strings.TrimSuffix(e.Name(), ".lua") + ": ", "\n-- reply ", "\n-- cost ", "\n-- twice "} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s does not say %q", e.Name(), want)
			}
		}
	}
}
