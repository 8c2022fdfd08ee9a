package memory

// keyOverhead is what a remembered key counts towards Options.MaxBytes besides
// the key and the ID: the structure and its share of the map.
const keyOverhead = 160

// rememberedKey is a dedup key within its window.
type rememberedKey struct {
	key, id string
	ends    instant
	next    *rememberedKey
}

// keySize is what a key counts towards Options.MaxBytes while it is remembered,
// which is also after its job is gone.
func keySize(key, id string) int64 { return int64(keyOverhead + len(key) + len(id)) }

// rememberedKeys are the dedup keys that a queue remembers. They end in the
// order in which they were added, as all windows are equally long, so that the
// ended ones are found at the front. The queue's mu guards it.
type rememberedKeys struct {
	byKey       shrinkingMap[*rememberedKey]
	first, last *rememberedKey
}

// find is the remembered key, or nil. Those that ended must be out.
func (r *rememberedKeys) find(key string) *rememberedKey { return r.byKey.get(key) }

// add remembers a key and the ID of its job until ends.
func (r *rememberedKeys) add(key, id string, ends instant) {
	k := &rememberedKey{key: key, id: id, ends: ends}
	if r.last == nil {
		r.first = k
	} else {
		r.last.next = k
	}
	r.last = k
	r.byKey.put(key, k)
}

// expire forgets what has ended, and returns the bytes that became free.
func (r *rememberedKeys) expire(now instant) int64 {
	var freed int64
	for r.first != nil && r.first.ends <= now {
		freed += r.drop()
	}
	return freed
}

// clear forgets all, and returns the bytes that became free.
func (r *rememberedKeys) clear() int64 {
	var freed int64
	for r.first != nil {
		freed += r.drop()
	}
	return freed
}

// drop forgets the first key, and returns the bytes that became free.
func (r *rememberedKeys) drop() int64 {
	k := r.first
	r.first = k.next
	if r.first == nil {
		r.last = nil
	}
	r.byKey.remove(k.key)
	return keySize(k.key, k.id)
}
