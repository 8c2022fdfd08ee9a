package conformance

import (
	"fmt"
	"strings"
	"time"
)

// Violation is how a driver broke a rule.
type Violation struct {
	// Case and Rule name what was broken.
	Case, Rule string
	// Broker is the broker's name and version.
	Broker string
	// Problems are what was seen, at least one.
	Problems []string
	// Seed repeats the case's random choices, as BATCH_SEED.
	Seed uint64
	// Late is how late the machine was, whatever the driver did: what was judged as
	// late is later than that explains.
	Late time.Duration
	// History is the end of what was recorded, possibly nothing.
	History string
}

// Error has everything, over several lines.
func (v *Violation) Error() string {
	var b strings.Builder
	for _, p := range v.Problems {
		fmt.Fprintf(&b, "%s\n", p)
	}
	fmt.Fprintf(&b, "rule %s: %s\n", v.Case, v.Rule)
	fmt.Fprintf(&b, "broker: %s; to repeat: BATCH_SEED=%d", v.Broker, v.Seed)
	if v.Late > 100*time.Millisecond {
		fmt.Fprintf(&b, "; the machine was late by up to %s", v.Late.Round(time.Millisecond))
	}
	if v.History != "" {
		fmt.Fprintf(&b, "\nhistory:\n%s", v.History)
	}
	return b.String()
}
