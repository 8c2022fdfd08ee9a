package embedded

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/driver/nats"
)

func init() {
	driver.Register(driver.Registration{
		Name:    Name,
		Schemes: []string{Name},
		Open: func(ctx context.Context, u *url.URL) (driver.Driver, error) {
			d, err := openURL(ctx, u)
			if err != nil {
				return nil, err
			}
			return d, nil
		},
		Types: []driver.Driver{(*Driver)(nil)},
	})
}

// Options are what a server in the process is started with. The zero value is
// the default of each.
type Options struct {
	// SyncAlways has the disk keep each job before it is accepted.
	SyncAlways bool
	// SyncInterval is how often the disk is made to keep what was written, between
	// 10 ms and 10 minutes. Zero is a second. It has no effect with SyncAlways.
	SyncInterval time.Duration
	// MaxBytes is how much the directory may hold. Zero is three quarters of what
	// is free on its disk.
	MaxBytes int64
	// Prefix and DedupWindow are those of [nats.Options].
	Prefix      string
	DedupWindow time.Duration
}

const (
	defaultInterval = time.Second
	minInterval     = 10 * time.Millisecond
	maxInterval     = 10 * time.Minute
)

// Open opens the directory that the URL names; the package documentation has the
// URL's form.
func Open(ctx context.Context, rawURL string) (*Driver, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, invalid(errors.New("the URL cannot be parsed"))
	}
	return openURL(ctx, u)
}

func openURL(ctx context.Context, u *url.URL) (*Driver, error) {
	form := errors.New("the URL does not have the form jetstream:///directory or jetstream:directory")
	if u.Scheme != Name || u.User != nil || u.Host != "" || u.Fragment != "" {
		return nil, invalid(form)
	}
	directory := u.Path
	if u.Opaque != "" {
		var err error
		if directory, err = url.PathUnescape(u.Opaque); err != nil {
			return nil, invalid(form)
		}
	}
	if directory == "" {
		return nil, invalid(form)
	}
	var o Options
	p := driver.NewParams(Name, u)
	switch sync := p.String("sync", "interval"); sync {
	case "always":
		o.SyncAlways = true
		if p.Has("sync_interval") {
			return nil, invalid(errors.New("parameters sync=always and sync_interval exclude each other"))
		}
	case "interval":
		o.SyncInterval = p.Duration("sync_interval", defaultInterval, minInterval, maxInterval)
	default:
		return nil, invalid(fmt.Errorf("parameter sync=%q is not interval or always", sync))
	}
	o.MaxBytes = int64(p.Int("max_bytes", 0, 1<<20, math.MaxInt))
	o.Prefix = p.String("prefix", "")
	o.DedupWindow = p.Duration("dedup_window", 0, time.Second, 30*24*time.Hour)
	if err := p.Err(); err != nil {
		return nil, err
	}
	return New(ctx, filepath.FromSlash(directory), o)
}

// New starts a server on the directory, or joins the one that this process has
// started on it, and opens a handle on it.
func New(ctx context.Context, directory string, options Options) (*Driver, error) {
	if err := ctx.Err(); err != nil {
		return nil, &driver.Error{Driver: Name, Op: "open", Kind: err, Fate: driver.FateNotStored}
	}
	if options.SyncInterval == 0 {
		options.SyncInterval = defaultInterval
	}
	if options.SyncInterval < minInterval || options.SyncInterval > maxInterval {
		return nil, invalid(fmt.Errorf("the sync interval %s is not between %s and %s", options.SyncInterval, minInterval, maxInterval))
	}
	if options.MaxBytes < 0 {
		return nil, invalid(fmt.Errorf("the bytes %d are fewer than none", options.MaxBytes))
	}
	i, err := enter(ctx, directory, options)
	if err != nil {
		return nil, err
	}
	// Nothing breaks this connection but the server's end.
	nc, err := natsgo.Connect("", natsgo.InProcessServer(i.server), natsgo.Name("batch"), natsgo.ReconnectBufSize(-1), natsgo.NoReconnect())
	if err != nil {
		i.leave()
		return nil, &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrUnavailable, Fate: driver.FateNotStored, Err: err}
	}
	d, err := nats.New(ctx, nc, nats.Options{Prefix: options.Prefix, DedupWindow: options.DedupWindow, Replicas: 1, GroupCommit: options.SyncAlways})
	if err != nil {
		nc.Close()
		i.leave()
		return nil, err
	}
	return &Driver{Driver: d, nc: nc, server: i}, nil
}

func invalid(err error) error {
	return &driver.Error{Driver: Name, Op: "open", Kind: driver.ErrConfig, Fate: driver.FateNotStored, Err: err}
}
