package main

import (
	"net/http"
	"strings"
	"testing"
)

// TestDashboardIsMounted asks for the dashboard of a process, and for its style sheet by the link that the page has.
func TestDashboardIsMounted(t *testing.T) {
	p := start(t, "all", "BATCH_URL=memory://", "ADMIN_PASSWORD=secret")
	if status, _ := get(p.api() + "/batch/"); status != http.StatusUnauthorized {
		t.Errorf("without a password the answer is %d", status)
	}
	if status, _ := do(http.MethodPost, p.api()+"/batch/queues/emails/pause"); status != http.StatusUnauthorized {
		t.Errorf("without a password a pause is answered by %d", status)
	}
	inside := strings.Replace(p.api(), "http://", "http://admin:secret@", 1) + "/batch/"
	status, page := get(inside)
	if status != http.StatusOK || !strings.Contains(page, "emails") || !strings.Contains(page, "reports") {
		t.Errorf("with a password the answer is %d\n%s", status, page)
	}
	_, link, _ := strings.Cut(page, `rel="stylesheet" href="`)
	link, _, _ = strings.Cut(link, `"`)
	if status, _ := get(inside + link); link == "" || status != http.StatusOK {
		t.Errorf("the style sheet %q: %d", link, status)
	}
	if status, _ := get(p.ops() + "/batch/"); status != http.StatusNotFound {
		t.Errorf("where probes are, the dashboard is %d", status)
	}
	p.terminate()
	if code := p.exits(); code != exitOK {
		t.Errorf("the process exits with %d", code)
	}
	if none := start(t, "all", "BATCH_URL=memory://"); none.api() != "" {
		if status, _ := get(none.api() + "/batch/"); status != http.StatusNotFound {
			t.Errorf("where nobody has a password, the dashboard is %d", status)
		}
	}
}
