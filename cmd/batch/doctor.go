package main

import (
	"cmp"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch/cmd/batch/internal/doctor"
	"github.com/batch-go/batch/driver"
)

// findingRecord is one thing that doctor looked at, for programs.
type findingRecord struct {
	Check  string `json:"check"`
	Grade  string `json:"grade"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// doctorCommand finds what is wrong with a broker.
func (a *app) doctorCommand() *cobra.Command {
	var options doctor.Options
	c := &cobra.Command{
		Use:     "doctor [queue ...]",
		GroupID: groupBroker,
		Short:   "Find what is wrong with the broker, and how to mend it",
		Long: `Look for what would lose jobs, refuse them or hold them up, and say how to mend it:
versions, rights, eviction, persistence and syncing, replicas, room, policies and limits
that would drop jobs, queues that somebody has changed or paused. Then make a queue,
try everything on it and delete it, so that a right that is missing shows here.

  ok        as it should be
  warn      jobs may be lost or refused when something else goes wrong too
  fail      jobs are lost or refused, and the exit code is 7
  unknown   the broker does not tell, or not these credentials

RabbitMQ tells its policies and alarms by the management API alone, and NATS how often
it syncs by its monitoring alone. doctor looks for them on the broker's host, or where
--monitoring or BATCH_MONITORING says.`,
		Example: `  batch doctor
  batch doctor emails reports
  BATCH_MONITORING=http://admin:secret@rabbit:15672 batch doctor
  batch doctor --read-only -json | jq 'select(.grade == "fail")'`,
		ValidArgsFunction: a.completeQueue(true),
		RunE: func(c *cobra.Command, args []string) error {
			url, err := a.brokerURL()
			if err != nil {
				return err
			}
			options.URL, options.Queues, options.Timeout = url, args, a.timeout
			options.Monitoring = cmp.Or(options.Monitoring, a.env("BATCH_MONITORING"))
			if !doctor.IsMonitoring(options.Monitoring) {
				return usage(`--monitoring is no URL of the form http://user:password@host:port, and not "none"`) // it may have a password
			}
			var grades [driver.GradeFail + 1]int
			var shown error
			err = doctor.Run(c.Context(), options, func(f driver.Finding) {
				grades[f.Grade]++
				if shown == nil {
					shown = a.showFinding(f)
				}
			})
			if err = cmp.Or(err, shown); err != nil {
				return err
			}
			if !a.json {
				err = a.say("\n%d ok, %d unknown, %d warn, %d fail", grades[driver.GradeOK], grades[driver.GradeUnknown], grades[driver.GradeWarn], grades[driver.GradeFail])
			}
			if n := grades[driver.GradeFail]; err == nil && n > 0 {
				err = &unsoundError{n}
			}
			return err
		},
	}
	c.Flags().StringVar(&options.Monitoring, "monitoring", "", `the URL of RabbitMQ's management API or of NATS's monitoring, or "none" (default $BATCH_MONITORING, or on the broker's host)`)
	c.Flags().BoolVar(&options.ReadOnly, "read-only", false, "make no queue to try everything on, and declare none")
	return c
}

// gradeStyles are the colours of grades.
var gradeStyles = map[driver.Grade]style{
	driver.GradeOK: green, driver.GradeUnknown: faint, driver.GradeWarn: yellow, driver.GradeFail: red,
}

// showFinding prints a finding as it comes.
func (a *app) showFinding(f driver.Finding) error {
	if a.json {
		return a.print(findingRecord{f.Subject, f.Grade.String(), f.Detail, f.Remedy})
	}
	grade := f.Grade.String()
	grade += strings.Repeat(" ", max(len("unknown")-len(grade), 0))
	if a.colours(a.out) {
		grade = gradeStyles[f.Grade].paint(grade)
	}
	err := a.say("%s  %-16s  %s", grade, printable(f.Subject), printable(f.Detail))
	if err != nil || f.Remedy == "" {
		return err
	}
	return a.say("%s  %-16s  -> %s", strings.Repeat(" ", len("unknown")), "", printable(f.Remedy))
}
