package memory

// table is a map whose memory follows its size in both directions, which a Go
// map's does not.
type table[V any] struct {
	m    map[string]V
	peak int
}

// tableFloor is the size below which a table is not made smaller: too small to
// matter, and a table that is often empty should not allocate each time.
const tableFloor = 1024

func (t *table[V]) get(key string) V { return t.m[key] }

func (t *table[V]) put(key string, value V) {
	if t.m == nil {
		t.m = make(map[string]V)
	}
	t.m[key] = value
	t.peak = max(t.peak, len(t.m))
}

// remove makes the map anew when an eighth of it is left: each copied entry is
// paid for by seven that were removed.
func (t *table[V]) remove(key string) {
	delete(t.m, key)
	if t.peak <= tableFloor || len(t.m) > t.peak/8 {
		return
	}
	smaller := make(map[string]V, len(t.m))
	for k, v := range t.m {
		smaller[k] = v
	}
	t.m, t.peak = smaller, len(smaller)
}

// chain is a list of jobs through their prev and next.
type chain struct{ first, last *job }

// index finds chains of jobs by a name: groups, and dead letters by their ID.
// Names without jobs take no memory. The queue's mu guards it.
type index struct{ chains table[*chain] }

// add puts a job at the end of the chain, and tells whether it is the first.
func (x *index) add(key string, j *job) bool {
	c := x.chains.get(key)
	if c == nil {
		x.chains.put(key, &chain{first: j, last: j})
		return true
	}
	j.prev = c.last
	c.last.next = j
	c.last = j
	return false
}

// remove takes a job out of its chain. It returns the job that has become the
// first by that, or nil.
func (x *index) remove(key string, j *job) *job {
	c := x.chains.get(key)
	next := j.next
	wasFirst := c.first == j
	if j.prev != nil {
		j.prev.next = next
	} else {
		c.first = next
	}
	if next != nil {
		next.prev = j.prev
	} else {
		c.last = j.prev
	}
	j.prev, j.next = nil, nil
	if c.first == nil {
		x.chains.remove(key)
	}
	if wasFirst {
		return next
	}
	return nil
}

// first is the first job of a chain, or nil.
func (x *index) first(key string) *job {
	if c := x.chains.get(key); c != nil {
		return c.first
	}
	return nil
}
