package main

import (
	"strings"
	"testing"

	"github.com/batch-go/batch"
)

func TestMove(t *testing.T) {
	from, to := "memory://move-from", "memory://move-to"
	source, target := open(t, from), open(t, to)
	seed(t, source, "emails")
	r := here(t, from, "move", "emails", "--to", to, "--to-queue", "mails", "--idle", "50ms")
	r.want(t, exitOK, "moved 6 jobs of queue emails", "to mails on", "2 waiting, 1 scheduled, 3 dead")
	if left, there := depth(t, source, "emails"), depth(t, target, "mails"); left != (batch.Depth{}) || there.Waiting != 2 || there.Scheduled != 1 || there.Dead != 3 {
		t.Errorf("%+v is left and %+v is there", left, there)
	}
	here(t, to, "move", "mails", "--to-queue", "emails", "--idle", "50ms", "--kind", "email.welcome", "-json").
		want(t, exitOK, `"queue":"mails"`, `"to_queue":"emails"`, `"ended":true`, `"moved":4`, `"left":{"waiting":1,"scheduled":0,"running":0,"dead":1}`)
	here(t, to, "move", "mails", "--to", from, "--idle", "50ms", "--state", "dead").want(t, exitOK, "moved 1 job of", "0 waiting, 0 scheduled, 1 dead")
	here(t, to, "move", "nowhere", "--to", from).want(t, exitNotFound)
}

// TestMoveRefused: a broker without priorities refuses a job with one, and the error says what to do.
func TestMoveRefused(t *testing.T) {
	from, to := "memory://move-refused", "jetstream://"+t.TempDir()
	d := open(t, from)
	put(t, d, "emails", entry("1", "plain", batch.StateWaiting), entry("2", "urgent", batch.StateWaiting, func(e *batch.Entry) { e.Level = batch.High }))
	here(t, from, "move", "emails", "--to", to, "--idle", "50ms").want(t, exitUnsupported, "job 2 of kind urgent", "because of its priority", "--drop priority", "moved 1 job of")
	here(t, from, "move", "emails", "--to", to, "--idle", "50ms", "--leave-refused").want(t, exitOK, "the others were left")
	here(t, from, "move", "emails", "--to", to, "--idle", "50ms", "--drop", "priority,group").want(t, exitOK, "moved 1 job of")
	if left := depth(t, d, "emails"); left.Waiting != 0 {
		t.Errorf("%+v is left", left)
	}
}

func TestMoveUsage(t *testing.T) {
	url := "memory://move-usage"
	seed(t, open(t, url), "emails")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"emails"}, "the same queue"},
		{[]string{"emails", "--to", url}, "the same queue"},
		{[]string{"emails", "--to", url, "--to-queue", "emails"}, "the same queue"},
		{[]string{"emails", "--to", "nosuch://x"}, "no driver is registered"},
		{[]string{"emails", "--to-queue", "no name"}, "invalid queue name"},
		{[]string{"emails", "--to-queue", "x", "--drop", "body"}, "priority, group"},
		{[]string{"emails", "--to-queue", "x", "--drop", ""}, "--drop is empty"},
		{[]string{"emails", "--to-queue", "x", "--state", "running"}, "waiting, scheduled or dead"},
		{[]string{"emails", "--to-queue", "x", "--kind", "a,,b"}, "one is empty"},
		{[]string{"emails", "--to-queue", "x", "--concurrency", "0"}, "1 to 64"},
		{[]string{"emails", "--to-queue", "x", "--idle", "0s"}, "10ms"},
	} {
		r := here(t, url, append([]string{"move"}, test.args...)...)
		r.want(t, exitUsage, test.want)
		if r.out != "" {
			t.Errorf("batch move %q prints %q", test.args, r.out)
		}
	}
}

// TestMoveFaultsAreNotedOnce: what fails again and again is one note.
func TestMoveFaultsAreNotedOnce(t *testing.T) {
	var out strings.Builder
	told := faultNotes{app: newApp(nil, nil, &out, func(string) string { return "" })}
	for range 3 {
		told.tell(batch.ErrUnavailable)
	}
	told.tell(batch.ErrFull)
	if n := strings.Count(out.String(), "\n"); n != 2 {
		t.Errorf("there are %d notes: %q", n, out.String())
	}
}
