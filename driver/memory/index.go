package memory

// shrinkingMap is a map whose memory follows its size in both directions, which
// a Go map's does not.
type shrinkingMap[V any] struct {
	entries map[string]V
	peak    int
}

// shrinkFloor is the size below which a map is not made smaller: too small to
// matter, and a map that is often empty should not allocate each time.
const shrinkFloor = 1024

// get is the value of a key, or the zero value.
func (m *shrinkingMap[V]) get(key string) V { return m.entries[key] }

// put sets the value of a key.
func (m *shrinkingMap[V]) put(key string, value V) {
	if m.entries == nil {
		m.entries = make(map[string]V)
	}
	m.entries[key] = value
	m.peak = max(m.peak, len(m.entries))
}

// remove forgets a key. It makes the map anew when an eighth of it is left: each
// copied entry is paid for by seven that were removed.
func (m *shrinkingMap[V]) remove(key string) {
	delete(m.entries, key)
	if m.peak <= shrinkFloor || len(m.entries) > m.peak/8 {
		return
	}
	smaller := make(map[string]V, len(m.entries))
	for k, v := range m.entries {
		smaller[k] = v
	}
	m.entries, m.peak = smaller, len(smaller)
}

// jobList is a list of jobs through their prev and next.
type jobList struct{ first, last *job }

// index finds lists of jobs by a key: those of a group, and dead letters by
// their ID. Keys without jobs take no memory. The queue's mu guards it.
type index struct{ lists shrinkingMap[*jobList] }

// add puts a job at the end of its list, and tells whether it is the first.
func (x *index) add(key string, j *job) bool {
	l := x.lists.get(key)
	if l == nil {
		x.lists.put(key, &jobList{first: j, last: j})
		return true
	}
	j.prev = l.last
	l.last.next = j
	l.last = j
	return false
}

// remove takes a job out of its list. It returns the job that has thereby become
// the first, or nil.
func (x *index) remove(key string, j *job) *job {
	l := x.lists.get(key)
	next := j.next
	wasFirst := l.first == j
	if j.prev != nil {
		j.prev.next = next
	} else {
		l.first = next
	}
	if next != nil {
		next.prev = j.prev
	} else {
		l.last = j.prev
	}
	j.prev, j.next = nil, nil
	if l.first == nil {
		x.lists.remove(key)
	}
	if wasFirst {
		return next
	}
	return nil
}

// first is the first job of a list, or nil.
func (x *index) first(key string) *job {
	if l := x.lists.get(key); l != nil {
		return l.first
	}
	return nil
}
