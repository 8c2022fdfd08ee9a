package nats_test

import (
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
)

// publishForeign stores a message of another producer on a queue.
func publishForeign(t *testing.T, url, q string, header natsgo.Header, body []byte) {
	t.Helper()
	nc, err := natsgo.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	answer, err := nc.RequestMsgWithContext(testContext(t), &natsgo.Msg{Subject: "batch." + q + ".job", Header: header, Data: body})
	if err != nil || strings.Contains(string(answer.Data), "error") {
		t.Fatalf("%v %v", answer, err)
	}
}

// jobHeader is that of a job of another producer.
func jobHeader(id string) natsgo.Header {
	return natsgo.Header{"Batch-Id": {id}, "Batch-Kind": {"test"}, "Batch-At": {"1760000000000"}}
}

// TestTooLargeToRetry: a job of another producer that does not fit with its history is
// refused at once and still held, harms no neighbour, and fits when it is stripped.
func TestTooLargeToRetry(t *testing.T) {
	url := sharedURL(t)
	d := openURL(t, url)
	q := declare(t, d)
	large, whole := jobHeader("headers"), jobHeader("body")
	large["Batch-H-large"] = []string{strings.Repeat("x", 64<<10-300)}
	publishForeign(t, url, q, large, []byte("body"))
	publishForeign(t, url, q, whole, make([]byte, 1<<20-120))
	enqueue(t, d, q, message("good"), message("again"))
	c := consume(t, d, q, 30*time.Second)
	got := receive(t, c, 4)
	long := strings.Repeat("e", 2048)
	settlements := []driver.Settlement{
		{Delivery: got[0], Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1, Error: long},
		{Delivery: got[1], Outcome: driver.OutcomeRetry, Failures: 1, Error: long},
		{Delivery: got[2], Outcome: driver.OutcomeDone},
		{Delivery: got[3], Outcome: driver.OutcomeRetry, Delay: time.Hour, Failures: 1, Error: long},
	}
	errs := c.Settle(testContext(t), settlements)
	if len(errs) != 4 || errs[2] != nil || errs[3] != nil {
		t.Fatalf("settle: %v", errs)
	}
	for i := range 2 {
		refused(t, got[i].ID, errs[i], driver.ErrTooLarge, "bytes")
	}
	if errs := c.Extend(testContext(t), got[:2]); errs != nil {
		t.Errorf("extend: %v", errs)
	}
	for i := range 2 {
		s := driver.Settlement{Delivery: got[i], Outcome: driver.OutcomeDead, Reason: driver.ReasonTooLarge, Error: "headers are missing: " + long[:2000], Failures: 1, Strip: true}
		if err := settle(t, c, s); err != nil {
			t.Errorf("%s: %v", got[i].ID, err)
		}
	}
	letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil || len(letters) != 2 {
		t.Fatalf("dead letters are %d, %v", len(letters), err)
	}
	if l := letters[0]; l.Headers != nil || string(l.Body) != "body" || l.Reason != driver.ReasonTooLarge || !strings.HasPrefix(l.LastError, "headers are missing") {
		t.Errorf("the first is %.300v", l)
	}
	if l := letters[1]; l.LastError == "" || len(l.Body) < 1<<20-1000 {
		t.Errorf("the second has %d bytes and says %q", len(l.Body), l.LastError)
	}
}

// TestLargestForeign: what is no job becomes a dead letter at any size, and blocks
// nothing.
func TestLargestForeign(t *testing.T) {
	url := sharedURL(t)
	d := openURL(t, url)
	q := declare(t, d)
	publishForeign(t, url, q, nil, make([]byte, 1<<20))
	publishForeign(t, url, q, natsgo.Header{"Other": {strings.Repeat("x", 60<<10)}}, make([]byte, 1<<20-61<<10))
	bad := jobHeader("bad\nid")
	bad["Batch-Failures"] = []string{"9223372036854775807"}
	publishForeign(t, url, q, bad, []byte("bad"))
	enqueue(t, d, q, message("job"))
	c := consume(t, d, q, 30*time.Second)
	if got := receive(t, c, 1)[0]; got.ID != "job" {
		t.Errorf("received %s", got.ID)
	}
	waitDepth(t, d, q, driver.Depth{Running: 1, Dead: 3})
	letters, _, err := d.DeadLetters(testContext(t), q, "", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range letters {
		if l.Reason != driver.ReasonUnreadable || l.Failures != 0 || strings.ContainsAny(l.ID, " \n") {
			t.Errorf("a letter is %s, %s, %d", l.ID, l.Reason, l.Failures)
		}
	}
}
