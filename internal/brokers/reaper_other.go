//go:build !unix

package brokers

// A reaper is a process that removes a session's containers when the test binary is gone. There is
// none on this system: what a killed run leaves stays until the next sweep.
type reaper struct{}

func startReaper(label, engine string) (*reaper, error) { return nil, nil }

func (r *reaper) stop() error { return nil }
