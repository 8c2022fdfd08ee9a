package batch

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/batch-go/batch/driver"
)

// Open connects to the broker that the URL names, with the driver that is
// registered for its scheme. A driver registers itself when its package is
// imported. The broker must have the capability set D, which is a plain interface.
// If it lacks something, Open closes the connection again and returns a
// [*CapabilityError] that says what is missing and which drivers have it.
//
// If the scheme or a URL parameter is unknown, the error wraps [ErrConfig]; if the
// broker refuses the credentials, [ErrUnauthorized]; if it cannot be reached by the
// end of ctx, [ErrUnavailable].
func Open[D Driver](ctx context.Context, url string) (D, error) {
	var none D
	r, u, err := driver.Lookup(url)
	if err != nil {
		return none, err
	}
	d, err := r.Open(ctx, u)
	if err != nil {
		return none, err
	}
	if fit, ok := d.(D); ok {
		return fit, nil
	}
	err = missing(d, reflect.TypeFor[D]())
	if closing := d.Close(ctx); closing != nil {
		err = fmt.Errorf("%w; closing it again: %w", err, closing)
	}
	return none, err
}

// CapabilityError says that a broker that was opened by URL lacks what the program
// relies on. It wraps [ErrCapability].
type CapabilityError struct {
	// Driver and Broker name what was opened.
	Driver, Broker string
	// Missing lists the names of the capability sets that it lacks.
	Missing []string
	// Have lists, for each of Missing, the registered drivers that have it.
	Have map[string][]string
}

// Error names the broker, what is missing and the drivers that have it.
func (e *CapabilityError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "batch: driver %s (%s) lacks ", e.Driver, e.Broker)
	for i, name := range e.Missing {
		if i > 0 {
			b.WriteString(", and ")
		}
		have := "no registered driver has it"
		var list []string
		for _, other := range e.Have[name] {
			if other == e.Driver { // it has a type for each kind of queue
				other += " (opened by another URL)"
			}
			list = append(list, other)
		}
		if len(list) > 0 {
			have = "had by: " + strings.Join(list, ", ")
		}
		fmt.Fprintf(&b, "%s (%s)", name, have)
	}
	return b.String()
}

// Unwrap returns ErrCapability.
func (e *CapabilityError) Unwrap() error { return ErrCapability }

// missing makes the error for a driver without the capability set want.
func missing(d Driver, want reflect.Type) error {
	info := d.Info()
	e := &CapabilityError{Driver: info.Driver, Broker: strings.TrimSpace(info.Broker + " " + info.Version), Have: map[string][]string{}}
	has := Capabilities(d)
	for _, name := range capabilitiesOf(want) {
		if slices.Contains(has, name) {
			continue
		}
		e.Missing = append(e.Missing, name)
		if with := driversWith(name); len(with) > 0 {
			e.Have[name] = with
		}
	}
	if len(e.Missing) == 0 {
		// The program asked for methods that are no capability of this package.
		e.Missing = []string{want.String()}
	}
	return e
}

// driversWith lists the registered drivers that have a type with the capability.
func driversWith(capability string) []string {
	var names []string
	for _, r := range driver.Registered() {
		if slices.ContainsFunc(r.Types, func(d Driver) bool { return slices.Contains(Capabilities(d), capability) }) {
			names = append(names, r.Name)
		}
	}
	return names
}
