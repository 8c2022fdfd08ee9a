package driver

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"sort"
	"strings"
	"sync"
)

// Opener connects to the broker that the URL names and checks that it is fit.
// It tries once, as every method of a driver does: if the broker cannot be
// reached, it returns an error that wraps [ErrUnavailable] and does not wait
// for the broker to come up. It refuses parameters that it does not know with
// [ErrConfig].
type Opener func(ctx context.Context, u *url.URL) (Driver, error)

// OpenerOf makes an [Opener] of a function that returns the driver's own type. When
// that fails, the Opener returns no driver, and not one that holds a nil pointer.
func OpenerOf[D Driver](open func(ctx context.Context, u *url.URL) (D, error)) Opener {
	return func(ctx context.Context, u *url.URL) (Driver, error) {
		d, err := open(ctx, u)
		if err != nil {
			return nil, err
		}
		return d, nil
	}
}

// Registration is a driver as batch.Open finds it.
type Registration struct {
	// Name is the driver's name, as Info.Driver has it.
	Name string
	// Schemes are the URL schemes that it opens.
	Schemes []string
	// Open connects.
	Open Opener
	// Types are zero values of the driver types that Open may return, for
	// telling which capabilities a driver has without connecting: (*Driver)(nil).
	Types []Driver
}

var registry struct {
	sync.RWMutex // guards following
	byScheme     map[string]Registration
	byName       map[string]Registration
}

// Register makes a driver known to batch.Open. It is called from the init
// function of the driver's package, and panics if the registration is not
// complete or a scheme is taken.
func Register(r Registration) {
	registry.Lock()
	defer registry.Unlock()
	if r.Name == "" || len(r.Schemes) == 0 || r.Open == nil || len(r.Types) == 0 {
		panic("driver: Register needs Name, Schemes, Open and Types")
	}
	if registry.byScheme == nil {
		registry.byScheme = make(map[string]Registration)
		registry.byName = make(map[string]Registration)
	}
	if _, ok := registry.byName[r.Name]; ok {
		panic("driver: Register called twice for " + r.Name)
	}
	for _, scheme := range r.Schemes {
		if _, ok := registry.byScheme[scheme]; ok {
			panic("driver: URL scheme " + scheme + " is registered already")
		}
		registry.byScheme[scheme] = r
	}
	registry.byName[r.Name] = r
}

// Registered lists the drivers that were registered, by name.
func Registered() []Registration {
	registry.RLock()
	defer registry.RUnlock()
	list := make([]Registration, 0, len(registry.byName))
	for _, r := range registry.byName {
		list = append(list, r)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Name < list[j].Name })
	return list
}

// Lookup finds the driver for a URL. An error wraps [ErrConfig] and does not
// repeat the URL's password.
func Lookup(rawURL string) (Registration, *url.URL, error) {
	if rawURL == "" {
		return Registration{}, nil, &Error{
			Driver: "batch", Op: "open", Kind: ErrConfig, Fate: FateNotStored,
			Err: errors.New("the URL is empty"), Hint: "registered: " + schemes(),
		}
	}
	u, err := ParseURL("batch", rawURL)
	if err != nil {
		return Registration{}, nil, err
	}
	registry.RLock()
	r, ok := registry.byScheme[u.Scheme]
	registry.RUnlock()
	if !ok {
		return Registration{}, nil, &Error{
			Driver: "batch", Op: "open", Kind: ErrConfig, Fate: FateNotStored,
			Err:  fmt.Errorf("no driver is registered for the URL scheme %q", u.Scheme),
			Hint: "registered: " + schemes() + `; a driver registers itself when its package is imported, as by import _ "github.com/batch-go/batch/driver/redis"`,
		}
	}
	return r, u, nil
}

func schemes() string {
	var all []string
	for _, r := range Registered() {
		all = append(all, r.Schemes...)
	}
	if len(all) == 0 {
		return "none"
	}
	return strings.Join(all, ", ")
}
