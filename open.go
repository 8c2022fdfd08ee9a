package batch

import (
	"context"
	"fmt"
	"reflect"

	"github.com/batch-go/batch/driver"
)

// Open connects to the broker that the URL names, with the driver that is
// registered for its scheme. A driver registers itself when its package is
// imported. D is the capability set that the broker must have, a plain interface;
// a driver's own type works too. If the broker lacks something, Open closes the
// connection again and returns a [*CapabilityError] that says what is missing and
// which drivers have it.
//
// If the scheme or a URL parameter is unknown, or a value is out of its bounds, the
// error wraps [ErrConfig] and names the bounds; if the broker refuses the credentials,
// [ErrUnauthorized]; if it cannot be reached, [ErrUnavailable]. Open tries once and does not wait for a broker that is down: a
// program that may start before its broker has to call Open again.
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
	if fit, ok := assert[D](d); ok {
		return fit, nil
	}
	err = missing(d, reflect.TypeFor[D]())
	if closing := d.Close(ctx); closing != nil {
		err = fmt.Errorf("%w; closing it again: %w", err, closing)
	}
	return none, err
}
