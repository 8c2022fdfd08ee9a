package prombatch

import (
	"sync"
	"unicode/utf8"
)

// Other is the value of a label for all queues, or kinds, beyond the bound. One of that name has no series of its own.
const Other = "other"

// names are those that have a label of their own: the first that came, up to a bound.
type names struct {
	most int

	mu   sync.RWMutex // guards following
	seen map[string]struct{}
}

// newNames makes a list for most names.
func newNames(most int) *names { return &names{most: most, seen: make(map[string]struct{})} }

// label is the name, or Other if there are too many already or Prometheus does not take it.
func (n *names) label(name string) string {
	n.mu.RLock()
	_, is := n.seen[name]
	n.mu.RUnlock()
	if is {
		return name
	}
	if !utf8.ValidString(name) {
		return Other
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, is := n.seen[name]; !is {
		if len(n.seen) >= n.most {
			return Other
		}
		n.seen[name] = struct{}{}
	}
	return name
}
