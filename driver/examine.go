package driver

import "context"

// Examiner is a driver that can tell how its broker is set up, for tools that look for
// what would lose jobs or refuse them. It is no capability: jobs need nothing of it.
//
// Opening a driver refuses a broker on which no promise can be kept. What is left is for
// an operator to weigh: whether jobs survive the end of the machine, how full the broker
// is, whether its replicas are there.
type Examiner interface {
	// Examine asks the broker for its settings and its state, changes nothing, and returns
	// what it found, also what is as it should be. What these credentials may not see is a
	// finding of [GradeUnknown], and no error. An error means that the broker did not
	// answer; what was found before it is returned too.
	Examine(ctx context.Context) ([]Finding, error)
}

// Finding is one thing that was looked at.
type Finding struct {
	// Subject is what was looked at, in one or two words of lower case: "persistence". It
	// is the same whatever the Grade, so that programs can look for it.
	Subject string
	// Grade says how bad it is.
	Grade Grade
	// Detail is what there is, and what follows from it for jobs.
	Detail string
	// Remedy is what to do about it. It is empty with [GradeOK].
	Remedy string
}

// Grade says how bad a [Finding] is. A higher one is worse.
type Grade uint8

const (
	// GradeOK is as it should be.
	GradeOK Grade = iota
	// GradeUnknown could not be looked at: the broker does not tell, or not these
	// credentials.
	GradeUnknown
	// GradeWarn may lose or refuse jobs when something else goes wrong too: a machine
	// dies, or a disk fills up.
	GradeWarn
	// GradeFail loses or refuses jobs in ordinary operation.
	GradeFail
)

// String is the grade in lower case: ok, unknown, warn or fail.
func (g Grade) String() string {
	switch g {
	case GradeOK:
		return "ok"
	case GradeUnknown:
		return "unknown"
	case GradeWarn:
		return "warn"
	case GradeFail:
		return "fail"
	}
	return "invalid"
}
