package main

import (
	"fmt"
	"strings"
	"testing"
)

// finding is what a test expects of doctor: a check, its grade, and a part of the detail and
// of the remedy.
type finding struct{ check, grade, detail, remedy string }

// diagnose runs doctor, and looks for findings. It exits with 7 if one of them fails, or else
// with 0, and nothing else may fail.
func diagnose(t *testing.T, url string, args []string, want ...finding) {
	t.Helper()
	r := away(t, url, append([]string{"doctor", "-json"}, args...)...)
	got := objects(t, r)
	code, fails := exitOK, make(map[string]bool)
	for _, w := range want {
		found := false
		for _, g := range got {
			found = found || g["check"] == w.check && g["grade"] == w.grade && strings.Contains(fmt.Sprint(g["detail"]), w.detail) && strings.Contains(fmt.Sprint(g["remedy"]), w.remedy)
		}
		if !found {
			t.Errorf("%+v was not found in\n%s", w, r.both())
		}
		if w.grade == "fail" {
			code, fails[w.check] = exitUnsound, true
		}
	}
	for _, g := range got {
		if g["grade"] == "fail" && !fails[g["check"].(string)] {
			t.Errorf("it fails without a reason: %v", g)
		}
		if (g["grade"] == "ok") != (g["remedy"] == nil) {
			t.Errorf("what is not ok has a remedy, and what is ok has none: %v", g)
		}
	}
	if r.code != code {
		t.Errorf("the exit code is %d, want %d:\n%s", r.code, code, r.both())
	}
}

// TestDoctorWithoutBroker: a broker that is not there, or refuses, is a finding.
func TestDoctorWithoutBroker(t *testing.T) {
	diagnose(t, "redis://127.0.0.1:1", nil, finding{"connection", "fail", "unavailable", "is the server running"})
	diagnose(t, "nosuch://x", nil, finding{"connection", "fail", "no driver is registered", "registered: amqp"})
	diagnose(t, "memory://", nil, finding{"exercise", "ok", "", ""})
	here(t, "", "doctor").want(t, exitUsage, "BATCH_URL")
}

// TestDoctorOnFolder: JetStream in a folder says how it syncs, and a folder that another
// process has is one that cannot be opened.
func TestDoctorOnFolder(t *testing.T) {
	t.Parallel()
	url := "jetstream://" + t.TempDir()
	diagnose(t, url, nil, finding{"sync", "warn", "every 1s", "sync=always"}, finding{"exercise", "ok", "", ""})
	diagnose(t, url+"?sync=always", nil, finding{"sync", "ok", "before it is accepted", ""})
	d := open(t, url)
	seed(t, d, "emails")
	diagnose(t, url, nil, finding{"connection", "fail", "open in another process", "one process's at a time"})
}
