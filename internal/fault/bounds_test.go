package fault_test

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/batch-go/batch/driver"
)

// wants checks a refusal by its text; "" is for none.
func wants(t *testing.T, what string, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v, want none", what, err)
	case want != "" && (err == nil || err.Error() != want || !errors.Is(err, driver.ErrConfig) || driver.FateOf(err) != driver.FateNotStored):
		t.Errorf("%s: %v (%s), want %s", what, err, driver.FateOf(err), want)
	}
}

func TestCheckReceive(t *testing.T) {
	for max, want := range map[int]string{
		1: "", 100: "",
		0:           "acme: receive on queue q: invalid configuration: max is 0, which is not from 1 to 100",
		-1:          "acme: receive on queue q: invalid configuration: max is -1, which is not from 1 to 100",
		101:         "acme: receive on queue q: invalid configuration: max is 101, which is not from 1 to 100",
		math.MinInt: "acme: receive on queue q: invalid configuration: max is -9223372036854775808, which is not from 1 to 100",
	} {
		wants(t, "Receive", maker.CheckReceive("q", max, 100), want)
	}
}

func TestCheckDelay(t *testing.T) {
	for delay, want := range map[time.Duration]string{
		0: "", time.Hour: "",
		-1:            "acme: enqueue on queue q: invalid configuration: job a has the delay -1ns, which is not from 0 to 1h0m0s",
		time.Hour + 1: "acme: enqueue on queue q: invalid configuration: job a has the delay 1h0m0.000000001s, which is not from 0 to 1h0m0s",
	} {
		wants(t, "the delay", maker.CheckDelay("enqueue", "q", &driver.Message{ID: "a", Delay: delay}, time.Hour), want)
	}
}
