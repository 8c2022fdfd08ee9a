package nats

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/batch-go/batch/driver"
)

// TestExamineReplicas reads what servers say of a stream in a cluster.
func TestExamineReplicas(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]struct {
		grade  driver.Grade
		detail string
	}{
		`{"config":{"num_replicas":3},"cluster":{"leader":"a","replicas":[{"name":"b","current":true},{"name":"c","current":true}]}}`:  {driver.GradeOK, ""},
		`{"config":{"num_replicas":3},"cluster":{"leader":"a","replicas":[{"name":"b","current":true},{"name":"c","offline":true}]}}`:  {driver.GradeWarn, "behind: c"},
		`{"config":{"num_replicas":3},"cluster":{"leader":"a","replicas":[{"name":"b","current":false},{"name":"c","current":true}]}}`: {driver.GradeWarn, "behind: b"},
		`{"config":{"num_replicas":3},"cluster":{"replicas":[]}}`:                                                                      {driver.GradeFail, "no leader"},
		`{"config":{"num_replicas":1},"cluster":{"leader":"a"}}`:                                                                       {driver.GradeWarn, "one replica"},
		`{"config":{"num_replicas":3}}`: {driver.GradeOK, ""},
	} {
		var info replicaInfo
		if err := json.Unmarshal([]byte(answer), &info); err != nil {
			t.Fatal(err)
		}
		f, wrong := info.finding("emails", "batch-emails")
		if wrong != (want.grade != driver.GradeOK) || f.Grade != want.grade || !strings.Contains(f.Detail, want.detail) {
			t.Errorf("of %s it finds %+v, want %s with %q", answer, f, want.grade, want.detail)
		}
	}
}

func TestExamineRoom(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		used, most int64
		want       driver.Grade
	}{{0, -1, driver.GradeOK}, {900, 0, driver.GradeOK}, {899, 1000, driver.GradeOK}, {900, 1000, driver.GradeWarn}, {1000, 1000, driver.GradeWarn}} {
		if got := room("storage", test.used, test.most, "bytes", "make room"); got.Grade != test.want {
			t.Errorf("%d of %d is %s, want %s", test.used, test.most, got.Grade, test.want)
		}
	}
}
