package soak

import (
	"fmt"
	"slices"
	"time"
)

// longLife is how long a process must live for its use to be judged.
const longLife = 2 * time.Minute

// linesPerFault bounds what a process logs for a fault, beside what it says of jobs.
const linesPerFault = 60

// use is what a process used at one moment.
type use struct {
	at                              time.Time
	memory, goroutines, descriptors int64
}

// judgeUse says which processes grow with the time that they live, and which log
// more than a bounded number of lines for a fault.
func (v *verdict) judgeUse(h history) {
	uses, logged := make(map[string][]use), make(map[string]int64)
	for _, e := range h.others {
		switch e.op {
		case opLogged:
			logged[e.process] = e.arg
		case opUsage:
			u := use{at: e.at, memory: e.arg}
			if _, err := fmt.Sscanf(e.id, "%d/%d", &u.goroutines, &u.descriptors); err == nil {
				uses[e.process] = append(uses[e.process], u)
			}
		}
	}
	for process, list := range uses {
		if life := list[len(list)-1].at.Sub(list[0].at); life >= longLife {
			v.growth(process, "memory", list, 1.25, 32<<20, func(u use) int64 { return u.memory })
			v.growth(process, "goroutines", list, 1.25, 20, func(u use) int64 { return u.goroutines })
			v.growth(process, "descriptors", list, 1.25, 10, func(u use) int64 { return u.descriptors })
		}
		if most := int64(linesPerFault * (len(h.faults) + 1)); logged[process] > most {
			v.wrong("%s logged %d lines in %d faults, beside those of jobs", process, logged[process], len(h.faults))
		}
	}
}

// growth compares the medians of the second and of the last quarter of a life, by
// which faults that last do not count. It must not grow by more than the factor and
// the slack.
func (v *verdict) growth(process, what string, list []use, factor float64, slack int64, of func(use) int64) {
	quarter := len(list) / 4
	before, after := median(list[quarter:2*quarter], of), median(list[3*quarter:], of)
	if float64(after) > factor*float64(before)+float64(slack) {
		v.wrong("%s: %s grew from %d to %d in %s", process, what, before, after, list[len(list)-1].at.Sub(list[0].at).Round(time.Second))
	}
}

// median is that of one number of a list that is not empty.
func median(list []use, of func(use) int64) int64 {
	numbers := make([]int64, len(list))
	for i, u := range list {
		numbers[i] = of(u)
	}
	slices.Sort(numbers)
	return numbers[len(numbers)/2]
}
