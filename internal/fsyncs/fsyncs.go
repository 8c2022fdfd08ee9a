package fsyncs

import (
	"errors"
	"fmt"
	"slices"
)

// A Counter counts the syncs of some threads, and of all threads and processes that these have started since.
type Counter struct{ events []event }

// An event is the kernel's counter of one kind of system call of one thread, and of what that starts.
type event interface {
	count() (uint64, error)
	close() error
}

// errGone says that a thread has ended.
var errGone = errors.New("the thread has ended")

// rounds is how often Start looks at the threads.
const rounds = 20

// Start begins to count those of some threads. threads is called more than once: what comes while the events
// are made could be counted twice or not at all, so they are made until nothing came or went meanwhile.
func Start(threads func() ([]int, error)) (*Counter, error) {
	before, err := threads()
	for range rounds {
		if err != nil {
			return nil, err
		}
		if len(before) == 0 {
			return nil, errors.New("fsyncs: there are no threads to count the syncs of")
		}
		c := &Counter{}
		if err = c.add(before); err != nil && !errors.Is(err, errGone) {
			return nil, errors.Join(err, c.close())
		}
		gone := err != nil
		var after []int
		if after, err = threads(); err == nil && !gone && same(before, after) {
			return c, nil
		}
		err = errors.Join(err, c.close())
		before = after
	}
	return nil, fmt.Errorf("fsyncs: of %d threads some came or went in each of %d looks", len(before), rounds)
}

// same tells whether two lists have the same threads.
func same(a, b []int) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

// add makes the events of threads.
func (c *Counter) add(threads []int) error {
	all, err := kinds()
	if err != nil {
		return err
	}
	for _, t := range threads {
		for _, k := range all {
			e, err := open(k, t)
			if err != nil {
				return err
			}
			c.events = append(c.events, e)
		}
	}
	return nil
}

// Stop ends the count and returns it.
func (c *Counter) Stop() (uint64, error) {
	var all uint64
	var errs []error
	for _, e := range c.events {
		n, err := e.count()
		all += n
		errs = append(errs, err)
	}
	return all, errors.Join(append(errs, c.close())...)
}

// close lets the events go.
func (c *Counter) close() error {
	var errs []error
	for _, e := range c.events {
		errs = append(errs, e.close())
	}
	c.events = nil
	return errors.Join(errs...)
}
