package memory

import "slices"

// chunkSize is the number of jobs in a chunk. Larger makes an insertion in the
// middle move more pointers (half a chunk: 64 pointers, about 20 ns), smaller
// makes the slice of chunks longer (8 000 for a million jobs).
const chunkSize = 128

// chunk is a part of a sorted list: the jobs from head to before tail. Chunks in
// a list are never empty.
type chunk struct {
	head, tail int
	jobs       [chunkSize]*job
}

// chunkCache keeps one empty chunk, so that a queue that is always nearly empty
// does not allocate one for every job.
type chunkCache struct{ spare *chunk }

// get is an empty chunk.
func (k *chunkCache) get() *chunk {
	c := k.spare
	if c == nil {
		return new(chunk)
	}
	k.spare = nil
	return c
}

// put gives back a chunk that has become empty.
func (k *chunkCache) put(c *chunk) {
	c.head, c.tail = 0, 0
	k.spare = c
}

// sortedList keeps jobs in order of at and seq. Adding at the end and taking
// from the front are O(1); anything in between costs a search and a move within
// one chunk. Its memory follows the number of jobs in both directions. The
// queue's mu guards it.
type sortedList struct {
	cache  *chunkCache
	chunks []*chunk
	n      int
}

// first is the first job, or nil.
func (l *sortedList) first() *job {
	if l.n == 0 {
		return nil
	}
	c := l.chunks[0]
	return c.jobs[c.head]
}

// last is the last job, or nil.
func (l *sortedList) last() *job {
	if l.n == 0 {
		return nil
	}
	c := l.chunks[len(l.chunks)-1]
	return c.jobs[c.tail-1]
}

// push adds a job where it belongs.
func (l *sortedList) push(j *job) {
	if last := l.last(); last != nil && j.before(last.at, last.seq) {
		l.insert(j)
		return
	}
	l.n++
	if k := len(l.chunks); k > 0 {
		if c := l.chunks[k-1]; c.tail < chunkSize {
			c.jobs[c.tail] = j
			c.tail++
			return
		}
	}
	c := l.cache.get()
	c.jobs[0] = j
	c.tail = 1
	l.chunks = append(l.chunks, c)
}

// pop takes the first job; the list must not be empty.
func (l *sortedList) pop() *job {
	c := l.chunks[0]
	j := c.jobs[c.head]
	c.jobs[c.head] = nil
	c.head++
	l.n--
	if c.head == c.tail {
		l.drop(0)
	}
	return j
}

// insert adds a job that goes before the last one.
func (l *sortedList) insert(j *job) {
	l.n++
	i := l.chunkOf(j.at, j.seq)
	c := l.chunks[i]
	pos := c.search(j.at, j.seq)
	if c.head == 0 && c.tail == chunkSize {
		if pos == 0 {
			// Only the list's first chunk is entered at its front. What comes
			// there is usually followed by more, so the new chunk is filled
			// from its end.
			front := l.cache.get()
			front.head, front.tail = chunkSize-1, chunkSize
			front.jobs[chunkSize-1] = j
			l.chunks = slices.Insert(l.chunks, 0, front)
			return
		}
		upper := l.cache.get()
		upper.tail = copy(upper.jobs[:], c.jobs[chunkSize/2:])
		clear(c.jobs[chunkSize/2:])
		c.tail = chunkSize / 2
		l.chunks = slices.Insert(l.chunks, i+1, upper)
		if pos > chunkSize/2 {
			c, pos = upper, pos-chunkSize/2
		}
	}
	// Move the shorter side, if there is room on it.
	if c.head > 0 && (c.tail == chunkSize || pos-c.head < c.tail-pos) {
		copy(c.jobs[c.head-1:pos-1], c.jobs[c.head:pos])
		c.head--
		c.jobs[pos-1] = j
		return
	}
	copy(c.jobs[pos+1:c.tail+1], c.jobs[pos:c.tail])
	c.tail++
	c.jobs[pos] = j
}

// remove takes out a job that is in the list.
func (l *sortedList) remove(j *job) {
	i := l.chunkOf(j.at, j.seq)
	c := l.chunks[i]
	pos := c.search(j.at, j.seq)
	l.n--
	if pos-c.head < c.tail-pos {
		copy(c.jobs[c.head+1:pos+1], c.jobs[c.head:pos])
		c.jobs[c.head] = nil
		c.head++
	} else {
		copy(c.jobs[pos:c.tail-1], c.jobs[pos+1:c.tail])
		c.tail--
		c.jobs[c.tail] = nil
	}
	if c.head == c.tail {
		l.drop(i)
		return
	}
	// Removals all over a list must not leave it full of nearly empty chunks.
	if i > 0 && l.merge(i-1) {
		return
	}
	l.merge(i)
}

// merge joins a chunk with the one behind it if half a chunk holds both.
func (l *sortedList) merge(i int) bool {
	if i+1 >= len(l.chunks) {
		return false
	}
	c, behind := l.chunks[i], l.chunks[i+1]
	n, m := c.tail-c.head, behind.tail-behind.head
	if n+m > chunkSize/2 {
		return false
	}
	joined := l.cache.get()
	copy(joined.jobs[:], c.jobs[c.head:c.tail])
	copy(joined.jobs[n:], behind.jobs[behind.head:behind.tail])
	joined.head, joined.tail = 0, n+m
	l.chunks[i] = joined
	l.chunks = slices.Delete(l.chunks, i+1, i+2)
	clear(c.jobs[c.head:c.tail])
	l.cache.put(c)
	return true
}

// drop takes out an empty chunk.
func (l *sortedList) drop(i int) {
	l.cache.put(l.chunks[i])
	switch {
	case len(l.chunks) == 1 && cap(l.chunks) <= 16:
		l.chunks[0] = nil
		l.chunks = l.chunks[:0]
	case len(l.chunks) == 1:
		l.chunks = nil
	case i == 0:
		l.chunks[0] = nil
		l.chunks = l.chunks[1:]
	default:
		l.chunks = slices.Delete(l.chunks, i, i+1)
	}
}

// chunkOf is the index of the last chunk that begins at or before a position,
// or of the first one.
func (l *sortedList) chunkOf(at instant, seq uint64) int {
	low, high := 0, len(l.chunks)-1
	for low < high {
		mid := int(uint(low+high+1) >> 1)
		c := l.chunks[mid]
		if f := c.jobs[c.head]; f.before(at, seq) || f.at == at && f.seq == seq {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// search is the index in the chunk of the first job at or behind a position.
func (c *chunk) search(at instant, seq uint64) int {
	low, high := c.head, c.tail
	for low < high {
		mid := int(uint(low+high) >> 1)
		if c.jobs[mid].before(at, seq) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// iterator goes through a sorted list while the queue's mu is held.
type iterator struct {
	list   *sortedList
	chunk  int
	offset int
}

// after reads the jobs behind a position.
func (l *sortedList) after(at instant, seq uint64) iterator {
	i := iterator{list: l}
	if l.n == 0 {
		return i
	}
	i.chunk = l.chunkOf(at, seq)
	c := l.chunks[i.chunk]
	i.offset = c.search(at, seq)
	if i.offset < c.tail {
		if j := c.jobs[i.offset]; j.at == at && j.seq == seq {
			i.offset++
		}
	}
	return i
}

// peek is the next job, or nil at the end.
func (i *iterator) peek() *job {
	for i.chunk < len(i.list.chunks) {
		c := i.list.chunks[i.chunk]
		if i.offset < c.tail {
			return c.jobs[i.offset]
		}
		i.chunk++
		if i.chunk < len(i.list.chunks) {
			i.offset = i.list.chunks[i.chunk].head
		}
	}
	return nil
}

// skip goes past the job that peek showed.
func (i *iterator) skip() { i.offset++ }
