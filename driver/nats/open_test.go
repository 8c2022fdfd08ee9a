package nats

import "testing"

func TestVersions(t *testing.T) {
	for version, want := range map[string]bool{"2.12.0": false, "2.12.1": false, "2.12.2": false, "2.12.3": true, "2.13.0-RC.1": true, "2.15.2": true, "3.0.0": true, "v2.12.3": true, "2.11.9": false, "2.9.10": false, "1.99.0": false, "": false, "2": false, "x.y.z": false} {
		if got := atLeast(version, oldest); got != want {
			t.Errorf("%q is fit: %v", version, got)
		}
	}
}
