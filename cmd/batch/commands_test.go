package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/batch-go/batch"
)

// objects reads what a command printed for programs.
func objects(t *testing.T, r result) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(r.out) {
		var o map[string]any
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%v: %q", err, line)
		}
		all = append(all, o)
	}
	return all
}

// of takes one field of each object.
func of(all []map[string]any, field string) []string {
	var values []string
	for _, o := range all {
		values = append(values, fmt.Sprint(o[field]))
	}
	return values
}

func TestStats(t *testing.T) {
	url := "memory://stats"
	d := open(t, url)
	seed(t, d, "emails")
	put(t, d, "reports", entry("1", "report", batch.StateWaiting))
	here(t, url, "stats").want(t, exitOK, "emails", "reports", "WAITING")
	r := here(t, url, "stats", "emails", "-json")
	r.want(t, exitOK)
	got := objects(t, r)[0]
	for field, want := range map[string]any{"queue": "emails", "waiting": 2.0, "scheduled": 1.0, "running": 0.0, "dead": 3.0, "due": 0.0, "paused": false} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
	if names := of(objects(t, here(t, url, "queues", "--json")), "queue"); !slices.Equal(names, []string{"emails", "reports"}) {
		t.Errorf("the queues are %q", names)
	}
	here(t, url, "stats", "emails", "nowhere").want(t, exitNotFound, "emails", "nowhere")
}

// TestUnknownIsNotZero: what the broker cannot tell is shown as such.
func TestUnknownIsNotZero(t *testing.T) {
	r := depthOf("q", batch.Depth{Waiting: 1, Running: batch.UnknownCount, Dead: 0, Age: batch.UnknownAge}, nil)
	line, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"queue":"q","waiting":1,"scheduled":0,"running":null,"dead":0,"due":0,"age_seconds":null,"paused":null}`
	if string(line) != want {
		t.Errorf("the object is %s, want %s", line, want)
	}
	if c := count(r.Running); c != unknown {
		t.Errorf("an unknown count is shown as %q", c.text)
	}
	if c := age(r.AgeSeconds); c != unknown {
		t.Errorf("an unknown age is shown as %q", c.text)
	}
}

func TestDeadList(t *testing.T) {
	url := "memory://deadlist"
	seed(t, open(t, url), "emails")
	list := func(args ...string) []string {
		t.Helper()
		r := here(t, url, append([]string{"dead", "list", "emails", "-json"}, args...)...)
		r.want(t, exitOK)
		return of(objects(t, r), "id")
	}
	for _, test := range []struct {
		args []string
		want []string
	}{
		{nil, []string{"0199a2c4", "0199a2c5", "0199a2c6"}},
		{[]string{"--kind", "email.welcome"}, []string{"0199a2c4", "0199a2c6"}},
		{[]string{"--reason", "permanent"}, []string{"0199a2c5"}},
		{[]string{"--error", "refused"}, []string{"0199a2c4"}},
		{[]string{"--limit", "1"}, []string{"0199a2c4"}},
		{[]string{"0199a2c6", "0199a2c5"}, []string{"0199a2c5", "0199a2c6"}},
	} {
		if got := list(test.args...); !slices.Equal(got, test.want) {
			t.Errorf("dead list %q lists %q, want %q", test.args, got, test.want)
		}
	}
	here(t, url, "dead", "list", "emails", "--limit", "2").want(t, exitOK, "--limit 0 lists all")
	if r := here(t, url, "dead", "list", "emails", "--limit", "3"); strings.Contains(r.err, "there may be more") {
		t.Errorf("all are listed, and it says: %s", r.err)
	}
	here(t, url, "dead", "list", "emails", "0199a2c4", "0199a2c4").want(t, exitOK)
	if got := list("0199a2c6", "0199a2c5", "--limit", "1"); len(got) != 2 {
		t.Errorf("a limit holds for IDs that are named: %q", got)
	}
	here(t, url, "dead", "list", "emails", "0199a2c5", "nothing", "neither").want(t, exitNotFound, "permanent", "2 of these 3 IDs")
	here(t, url, "dead", "list", "emails", "nothing").want(t, exitNotFound, "no dead letter with this ID")
	if r := here(t, url, "dead", "list", "emails"); strings.Contains(r.both(), "user_id") || strings.Contains(r.both(), "acme") {
		t.Errorf("bodies and headers are shown unasked:\n%s", r.out)
	}
	here(t, url, "dead", "list", "emails", "--body").want(t, exitOK, `{"user_id":7}`, "tenant: acme")
}

func TestRedriveAndPurge(t *testing.T) {
	url := "memory://redrive"
	d := open(t, url)
	seed(t, d, "emails")
	here(t, url, "dead", "redrive", "emails").want(t, exitUsage, "which dead letters?")
	here(t, url, "dead", "redrive", "emails", "--all", "--kind", "x").want(t, exitUsage)
	here(t, url, "dead", "redrive", "emails", "0199a2c4", "0199a2c4", "nothing", "nothing").want(t, exitNotFound, "redriven 1 of 2 dead letters", "1 of these 2 IDs")
	if got := depth(t, d, "emails"); got.Waiting != 3 || got.Dead != 2 {
		t.Errorf("after a redrive there are %+v", got)
	}
	here(t, url, "dead", "purge", "emails", "--reason", "permanent").want(t, exitNotConfirmed, "--yes")
	if got := depth(t, d, "emails"); got.Dead != 2 {
		t.Errorf("a purge that was not confirmed left %+v", got)
	}
	r := here(t, url, "dead", "purge", "emails", "--reason", "permanent", "--yes", "-json")
	r.want(t, exitOK, `"purged":1`, `"selected":1`, `"exact":true`)
	here(t, url, "dead", "redrive", "emails", "--all").want(t, exitOK, "redriven 1 dead letter of queue emails")
	here(t, url, "dead", "purge", "emails", "--all").want(t, exitNotConfirmed) // none by the count, which may be old
	here(t, url, "dead", "purge", "emails", "--all", "-y").want(t, exitOK, "purged 0 dead letters")
	here(t, url, "dead", "redrive", "nowhere", "--all").want(t, exitNotFound)
}

func TestJobs(t *testing.T) {
	url := "memory://jobs"
	d := open(t, url)
	seed(t, d, "emails")
	for state, want := range map[string][]string{
		"waiting": {"0199a2c1", "0199a2c2"}, "scheduled": {"0199a2c3"}, "dead": {"0199a2c4", "0199a2c5", "0199a2c6"},
	} {
		r := here(t, url, "jobs", "list", "emails", "--state", state, "-json")
		if got := of(objects(t, r), "id"); r.code != exitOK || !slices.Equal(got, want) {
			t.Errorf("jobs list --state %s lists %q, want %q", state, got, want)
		}
	}
	here(t, url, "jobs", "list", "emails", "--limit", "1").want(t, exitOK, "--limit 0 lists all")
	here(t, url, "jobs", "list", "emails", "--state", "running").want(t, exitUsage, "waiting, scheduled or dead")
	here(t, url, "jobs", "find", "emails", "0199a2c3", "--body").want(t, exitOK, "scheduled", `{"user_id":7}`)
	here(t, url, "jobs", "find", "emails", "nothing").want(t, exitNotFound)
	here(t, url, "jobs", "delete", "emails", "0199a2c3").want(t, exitNotConfirmed)
	here(t, url, "jobs", "delete", "emails", "0199a2c3", "0199a2c3", "nothing", "--yes").want(t, exitNotFound, "deleted 0199a2c3", "nothing is not there")
	if got := depth(t, d, "emails"); got.Scheduled != 0 || got.Waiting != 2 {
		t.Errorf("after a delete there are %+v", got)
	}
}

func TestPause(t *testing.T) {
	url := "memory://pause"
	seed(t, open(t, url), "emails")
	here(t, url, "pause", "emails").want(t, exitOK, "paused emails")
	here(t, url, "stats").want(t, exitOK, "paused")
	here(t, url, "resume", "emails", "-json").want(t, exitOK, `{"queue":"emails","paused":false}`)
	here(t, url, "pause", "nowhere").want(t, exitNotFound)
	here(t, url, "pause", "nowhere", "neither", "emails").want(t, exitNotFound, "paused emails", "nowhere: not found", "neither: not found")
	r := here(t, url, "resume", "emails", "no name")
	r.want(t, exitUsage, "invalid queue name")
	if r.out != "" {
		t.Errorf("a wrong name is an error before anything is done, and it says %q", r.out)
	}
}

// TestOddTimes: a time that RFC 3339 cannot write is none, and does not end the list.
func TestOddTimes(t *testing.T) {
	var far batch.Entry
	far.EnqueuedAt, far.ExpiresAt, far.DeadAt = time.UnixMilli(1<<60), time.UnixMilli(-1<<60), time.Unix(7, 0).In(time.FixedZone("there", 3600))
	line, err := json.Marshal(jobOf("q", &far, false))
	if err != nil {
		t.Fatal(err)
	}
	if s := string(line); strings.Contains(s, "enqueued_at") || strings.Contains(s, "expires_at") || !strings.Contains(s, `"dead_at":"1970-01-01T00:00:07Z"`) {
		t.Errorf("the object is %s", s)
	}
}

// TestHostileText: what others wrote into jobs cannot control the terminal, and programs get
// it as it was.
func TestHostileText(t *testing.T) {
	url, evil := "memory://hostile", "a\x1b[2J\nb\u202ec\x00<script>\xff"
	d := open(t, url)
	put(t, d, "emails", entry("1", "evil", batch.StateDead, died("permanent", 1, evil), func(e *batch.Entry) { e.Body = []byte(evil) }))
	r := here(t, url, "dead", "list", "emails", "--body")
	r.want(t, exitOK, "<script>")
	if strings.ContainsAny(r.out, "\x1b\x00\u202e") {
		t.Errorf("a terminal is controlled by %q", r.out)
	}
	got := objects(t, here(t, url, "dead", "list", "emails", "--body", "-json"))[0]
	if got["body_base64"] != "YRtbMkoKYuKArmMAPHNjcmlwdD7/" {
		t.Errorf("the body is %v", got["body_base64"])
	}
}

// TestPages: more dead letters than one page has are all listed, redriven and purged.
func TestPages(t *testing.T) {
	url := "memory://pages"
	d := open(t, url)
	put(t, d, "emails", dead(2*pageSize+7)...)
	if got := objects(t, here(t, url, "dead", "list", "emails", "--limit", "0", "-json")); len(got) != 2*pageSize+7 {
		t.Errorf("%d are listed, want %d", len(got), 2*pageSize+7)
	}
	if got := objects(t, here(t, url, "jobs", "list", "emails", "--state", "dead", "--limit", "1001", "-json")); len(got) != 1001 {
		t.Errorf("%d are listed, want 1001", len(got))
	}
	here(t, url, "dead", "redrive", "emails", "--kind", "email.welcome").want(t, exitOK, "redriven 2007 dead letters")
	if got := depth(t, d, "emails"); got.Waiting != 2*pageSize+7 || got.Dead != 0 {
		t.Errorf("after a redrive there are %+v", got)
	}
}
