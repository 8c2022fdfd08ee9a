package memory

// markOverhead is what a remembered key counts towards Options.MaxBytes besides
// the key and the ID: the mark and its share of the map.
const markOverhead = 160

// mark is a key that is remembered.
type mark struct {
	key, id string
	ends    instant
	next    *mark
}

// markSize is what a key counts towards Options.MaxBytes while it is remembered,
// which is also after its job is gone.
func markSize(key, id string) int64 { return int64(markOverhead + len(key) + len(id)) }

// marks are the keys that a queue remembers. They end in the order in which they
// were made, as all last equally long, so that the ended ones are found at the
// front. The queue's mu guards it.
type marks struct {
	byKey       table[*mark]
	first, last *mark
}

// of is the mark of a key, or nil. Marks that ended must be out.
func (m *marks) of(key string) *mark { return m.byKey.get(key) }

func (m *marks) add(key, id string, ends instant) {
	k := &mark{key: key, id: id, ends: ends}
	if m.last == nil {
		m.first = k
	} else {
		m.last.next = k
	}
	m.last = k
	m.byKey.put(key, k)
}

// expire forgets what has ended, and returns the bytes that became free.
func (m *marks) expire(now instant) int64 {
	var freed int64
	for m.first != nil && m.first.ends <= now {
		freed += m.drop()
	}
	return freed
}

// clear forgets all, and returns the bytes that became free.
func (m *marks) clear() int64 {
	var freed int64
	for m.first != nil {
		freed += m.drop()
	}
	return freed
}

func (m *marks) drop() int64 {
	k := m.first
	m.first = k.next
	if m.first == nil {
		m.last = nil
	}
	m.byKey.remove(k.key)
	return markSize(k.key, k.id)
}
