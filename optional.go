package batch

import (
	"math"
	"time"
)

// As returns the same queue with another capability set E, if its driver has that:
// for a program that does more where the broker can do more. It looks at the driver
// itself, so E may be larger than D. Both handles share their requests to the broker,
// and the options of [Queue.With] stay.
//
//	if able, ok := batch.As[batch.Pauser](emails); ok {
//		err = batch.Pause(ctx, able)
//	}
func As[E Driver, D Driver](q *Queue[D]) (*Queue[E], bool) {
	d, ok := assert[E](q.driver)
	if !ok {
		return nil, false
	}
	return &Queue[E]{driver: d, name: q.name, producer: q.producer, defaults: q.defaults}, true
}

// The options that are applied if the broker supports them. They are for a program
// that runs on any broker and is better where the broker can do more: what it gains
// from the option it must be able to do without. The name says so where the option is
// used, and [Receipt].NotApplied where it was not applied. What is out of bounds is
// refused on every broker.

// PriorityIfSupported is [Priority] if the broker is a [Prioritizer]. Without it the
// jobs have no order by level, and Receipt.NotApplied has "Priority".
func PriorityIfSupported[D Driver](q *Queue[D], level Level) Option[D] {
	if able, ok := As[Prioritizer](q); ok {
		return Option[D](Priority(able, level))
	}
	return without[D]("Priority", func(*draft) error { return checkLevel(level) })
}

// DelayIfSupported is [Delay] if the broker is a [Delayer]. Without it the job may run
// at once, and Receipt.NotApplied has "Delay".
func DelayIfSupported[D Driver](q *Queue[D], d time.Duration) Option[D] {
	if able, ok := As[Delayer](q); ok {
		return Option[D](Delay(able, d))
	}
	return without[D]("Delay", func(job *draft) error {
		if err := checkDelay("Delay", d.String(), d, math.MaxInt64); err != nil {
			return err
		}
		return job.delays("Delay")
	})
}

// AtIfSupported is [At] if the broker is a [Delayer]. Without it the job may run at
// once, and Receipt.NotApplied has "At".
func AtIfSupported[D Driver](q *Queue[D], t time.Time) Option[D] {
	if able, ok := As[Delayer](q); ok {
		return Option[D](At(able, t))
	}
	return without[D]("At", func(job *draft) error { return job.delays("At") })
}

// UniqueIfSupported is [Unique] if the broker is a [Deduplicator]. Without it a second
// job with the key is stored too, and Receipt.NotApplied has "Unique".
func UniqueIfSupported[D Driver](q *Queue[D], key string) Option[D] {
	if able, ok := As[Deduplicator](q); ok {
		return Option[D](Unique(able, key))
	}
	return without[D]("Unique", func(*draft) error { return checkToken("Unique key", key) })
}

// UniqueWithinIfSupported is [UniqueWithin] if the broker is a [Deduplicator]. Without
// it a second job with the key is stored too, and Receipt.NotApplied has
// "UniqueWithin".
func UniqueWithinIfSupported[D Driver](q *Queue[D], key string, within time.Duration) Option[D] {
	if able, ok := As[Deduplicator](q); ok {
		return Option[D](UniqueWithin(able, key, within))
	}
	return without[D]("UniqueWithin", func(*draft) error {
		if within < time.Second {
			return invalid("UniqueWithin", within.String(), "1s or longer")
		}
		return checkToken("Unique key", key)
	})
}

// GroupIfSupported is [Group] if the broker is a [Grouper]. Without it the jobs of a
// group may run at the same time and in any order, and Receipt.NotApplied has
// "Group".
func GroupIfSupported[D Driver](q *Queue[D], name string) Option[D] {
	if able, ok := As[Grouper](q); ok {
		return Option[D](Group(able, name))
	}
	return without[D]("Group", func(job *draft) error {
		job.grouped = true
		return checkToken("Group", name)
	})
}

// without is an option that the driver does not support: it checks what can be checked
// without the driver, and is not applied.
func without[D Driver](option string, check func(*draft) error) Option[D] {
	return Option[D]{func(job *draft) error {
		if err := check(job); err != nil {
			return err
		}
		job.skip(option)
		return nil
	}}
}
