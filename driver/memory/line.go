package memory

import "slices"

// chunkSize is the number of jobs in a chunk. Larger makes an insertion in the
// middle move more pointers (half a chunk: 64 pointers, about 20 ns), smaller
// makes the index of chunks longer (8 000 for a million jobs).
const chunkSize = 128

// chunk is a part of a line: the jobs from head to before tail. Chunks in a
// line are never empty.
type chunk struct {
	head, tail int
	jobs       [chunkSize]*job
}

// depot keeps one empty chunk, so that a queue that is always nearly empty does
// not allocate one for every job.
type depot struct{ spare *chunk }

func (d *depot) get() *chunk {
	c := d.spare
	if c == nil {
		return new(chunk)
	}
	d.spare = nil
	return c
}

func (d *depot) put(c *chunk) {
	c.head, c.tail = 0, 0
	d.spare = c
}

// line keeps jobs in order of at and place. Adding at the end and taking from
// the front are O(1); anything in between costs a search and a move within one
// chunk. Its memory follows the number of jobs in both directions. The queue's
// mu guards it.
type line struct {
	depot  *depot
	chunks []*chunk
	n      int
}

// first is the first job, or nil.
func (l *line) first() *job {
	if l.n == 0 {
		return nil
	}
	c := l.chunks[0]
	return c.jobs[c.head]
}

// last is the last job, or nil.
func (l *line) last() *job {
	if l.n == 0 {
		return nil
	}
	c := l.chunks[len(l.chunks)-1]
	return c.jobs[c.tail-1]
}

// push adds a job where it belongs.
func (l *line) push(j *job) {
	if last := l.last(); last != nil && j.before(last.at, last.place) {
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
	c := l.depot.get()
	c.jobs[0] = j
	c.tail = 1
	l.chunks = append(l.chunks, c)
}

// pop takes the first job; the line must not be empty.
func (l *line) pop() *job {
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
func (l *line) insert(j *job) {
	l.n++
	i := l.chunkOf(j.at, j.place)
	c := l.chunks[i]
	pos := c.search(j.at, j.place)
	if c.head == 0 && c.tail == chunkSize {
		if pos == 0 {
			// Only the line's first chunk is entered at its front. What comes
			// there is usually followed by more, so the new chunk is filled
			// from its end.
			front := l.depot.get()
			front.head, front.tail = chunkSize-1, chunkSize
			front.jobs[chunkSize-1] = j
			l.chunks = slices.Insert(l.chunks, 0, front)
			return
		}
		upper := l.depot.get()
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

// remove takes out a job that is in the line.
func (l *line) remove(j *job) {
	i := l.chunkOf(j.at, j.place)
	c := l.chunks[i]
	pos := c.search(j.at, j.place)
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
	// Removals all over a line must not leave it full of nearly empty chunks.
	if i > 0 && l.merge(i-1) {
		return
	}
	l.merge(i)
}

// merge joins a chunk with the one behind it if half a chunk holds both.
func (l *line) merge(i int) bool {
	if i+1 >= len(l.chunks) {
		return false
	}
	c, behind := l.chunks[i], l.chunks[i+1]
	n, m := c.tail-c.head, behind.tail-behind.head
	if n+m > chunkSize/2 {
		return false
	}
	joined := l.depot.get()
	copy(joined.jobs[:], c.jobs[c.head:c.tail])
	copy(joined.jobs[n:], behind.jobs[behind.head:behind.tail])
	joined.head, joined.tail = 0, n+m
	l.chunks[i] = joined
	l.chunks = slices.Delete(l.chunks, i+1, i+2)
	clear(c.jobs[c.head:c.tail])
	l.depot.put(c)
	return true
}

// drop takes an empty chunk out of the index.
func (l *line) drop(i int) {
	l.depot.put(l.chunks[i])
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
func (l *line) chunkOf(at instant, place uint64) int {
	low, high := 0, len(l.chunks)-1
	for low < high {
		mid := int(uint(low+high+1) >> 1)
		c := l.chunks[mid]
		if f := c.jobs[c.head]; f.before(at, place) || f.at == at && f.place == place {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// search is the index in the chunk of the first job at or behind a position.
func (c *chunk) search(at instant, place uint64) int {
	low, high := c.head, c.tail
	for low < high {
		mid := int(uint(low+high) >> 1)
		if c.jobs[mid].before(at, place) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

// reader goes through a line while the queue's mu is held.
type reader struct {
	line   *line
	chunk  int
	offset int
}

// after reads the jobs behind a position.
func (l *line) after(at instant, place uint64) reader {
	r := reader{line: l}
	if l.n == 0 {
		return r
	}
	r.chunk = l.chunkOf(at, place)
	c := l.chunks[r.chunk]
	r.offset = c.search(at, place)
	if r.offset < c.tail {
		if j := c.jobs[r.offset]; j.at == at && j.place == place {
			r.offset++
		}
	}
	return r
}

// peek is the next job, or nil at the end.
func (r *reader) peek() *job {
	for r.chunk < len(r.line.chunks) {
		c := r.line.chunks[r.chunk]
		if r.offset < c.tail {
			return c.jobs[r.offset]
		}
		r.chunk++
		if r.chunk < len(r.line.chunks) {
			r.offset = r.line.chunks[r.chunk].head
		}
	}
	return nil
}

// skip goes past the job that peek showed.
func (r *reader) skip() { r.offset++ }
