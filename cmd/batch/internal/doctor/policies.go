package doctor

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/batch-go/batch/driver"
)

// anyQueue stands for the queues that are not there yet.
const anyQueue = "any"

// policy is a policy of users or of the operator.
type policy struct {
	Name       string         `json:"name"`
	Pattern    string         `json:"pattern"`
	ApplyTo    string         `json:"apply-to"`
	Priority   int            `json:"priority"`
	Definition map[string]any `json:"definition"`
	operator   bool
}

// hazard is what a key of a policy does to jobs. docs: driver/amqp/doc.go has all of them,
// as they were measured on RabbitMQ 4.0 and 4.3.
type hazard struct {
	grade  driver.Grade
	effect string
}

// hazardOf is what a key does to a queue of this name, if anything.
func hazardOf(key, queue string, definition map[string]any) (hazard, bool) {
	dead := strings.HasSuffix(queue, ".dead")
	switch key {
	case "expires":
		return hazard{driver.GradeFail, "deletes queues with all their jobs when nobody consumes from them, which is so of dead letters and delayed jobs"}, true
	case "message-ttl":
		switch {
		case dead:
			return hazard{driver.GradeFail, "takes dead letters away: without a worker they are lost"}, true
		case strings.Contains(queue, ".delay."):
			return hazard{driver.GradeWarn, "lets delayed jobs out before their time, if it is shorter than their delay"}, true
		}
		return hazard{driver.GradeFail, "makes dead letters of jobs that wait for longer"}, true
	case "max-length", "max-length-bytes":
		switch definition["overflow"] {
		case "drop-head":
			return hazard{driver.GradeFail, "makes dead letters of the oldest jobs beyond it, with overflow drop-head"}, true
		case "reject-publish-dlx":
			return hazard{driver.GradeFail, "makes dead letters of new jobs beyond it, with overflow reject-publish-dlx"}, true
		}
		return hazard{driver.GradeWarn, "refuses jobs beyond it, and holds up delayed jobs and retries until there is room"}, true
	case "delivery-limit":
		if dead {
			return hazard{driver.GradeFail, "takes dead letters away that were listed so often: without a worker they are lost"}, true
		}
		return hazard{driver.GradeWarn, "makes dead letters of jobs that were lost with so many workers, whatever MaxRedeliveries says"}, true
	case "consumer-timeout":
		return hazard{driver.GradeWarn, "hands out again, before RabbitMQ 4.3, jobs that run for longer, so that they run twice"}, true
	}
	return hazard{}, false
}

// policies reports what policies do to queues of these names. What a policy does to many
// queues is said once.
func (x *examination) policies(all []policy, names []string) {
	const subject = "policies"
	said := make(map[string]bool)
	for _, name := range names {
		for _, p := range effective(all, name) {
			for _, key := range slices.Sorted(maps.Keys(p.Definition)) {
				h, ok := hazardOf(key, name, p.Definition)
				once := p.title() + key + h.effect
				if !ok || said[once] {
					continue
				}
				said[once] = true
				x.found(subject, h.grade, p.remedy(key), "%s (pattern %s, %s %v) %s: it is for %s", p.title(), p.Pattern, key, p.Definition[key], h.effect, shown(name))
			}
		}
	}
	if len(said) == 0 {
		x.ok(subject, "none of %d drops, moves or bounds jobs", len(all))
	}
}

// shown is a name of a queue for people.
func shown(name string) string {
	if rest, ok := strings.CutPrefix(name, "batch."+anyQueue); ok && (rest == "" || rest[0] == '.') {
		return "queues that are made from now on, as in " + name
	}
	return name
}

// title says which policy it is.
func (p *policy) title() string {
	if p.operator {
		return "operator policy " + p.Name
	}
	return "policy " + p.Name
}

// remedy is what to do about a key of a policy.
func (p *policy) remedy(key string) string {
	kind := "policy"
	if p.operator {
		kind = "operator_policy"
	}
	return fmt.Sprintf(`take %s out of it or change its pattern, so that it is not for queues that begin with "batch.": rabbitmqctl set_%s %s ...`, key, kind, p.Name)
}

// effective are the policies that apply to a queue: of those of users, and of those of the
// operator, the one with the highest priority each.
// https://www.rabbitmq.com/docs/policies#how-policies-work
func effective(all []policy, queue string) []policy {
	var found []policy
	for _, operator := range []bool{false, true} {
		best := -1
		for i := range all {
			if p := &all[i]; p.operator == operator && p.isFor(queue) && (best < 0 || p.Priority > all[best].Priority) {
				best = i
			}
		}
		if best >= 0 {
			found = append(found, all[best])
		}
	}
	return found
}

// isFor tells whether a policy is for a queue of batch. A pattern that Go cannot read, as
// RabbitMQ's expressions can do more, counts as one that is: better one look too many.
func (p *policy) isFor(queue string) bool {
	switch p.ApplyTo {
	case "exchanges", "streams":
		return false
	}
	expression, err := regexp.Compile(p.Pattern)
	return err != nil || expression.MatchString(queue)
}
