package soak

import (
	"os/exec"
	"strings"
	"testing"
)

// TestMakeNeedsNoMore looks at what make would run for one broker: a run on one that is part of the process must not
// start Docker, and a run on one other must not see to the images of all.
func TestMakeNeedsNoMore(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Fatal(err)
	}
	for broker, needs := range map[string]struct{ engine, images bool }{
		"embedded": {false, false}, "redis-8": {true, false}, "": {true, true},
	} {
		for _, target := range []string{"soak", "reliability"} {
			out, err := exec.Command("make", "-C", "../..", "-n", target, "BROKER="+broker).CombinedOutput()
			if err != nil {
				t.Fatalf("make -n %s: %v\n%s", target, err, out)
			}
			if got := strings.Contains(string(out), "docker-engine.sh"); got != needs.engine {
				t.Errorf("%s BROKER=%s asks for an engine: %t, want %t", target, broker, got, needs.engine)
			}
			if got := strings.Contains(string(out), "broker-images.sh"); got != needs.images {
				t.Errorf("%s BROKER=%s makes all images: %t, want %t", target, broker, got, needs.images)
			}
		}
	}
}
