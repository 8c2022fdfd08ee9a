package batch

// Raw are args that are encoded already: for relays, which carry jobs of types that
// they do not know, and for tools. The queue's codec is not asked. Workers get such
// a job like any other of its kind; there is no handler for Raw itself.
type Raw struct {
	// JobKind is the kind of the job, as [Args] describes it.
	JobKind string
	// ContentType names the encoding of Body: 1 to 128 bytes of printable ASCII. A
	// worker needs a codec for it.
	ContentType string
	// Body is what the job's handler gets to decode, possibly empty. It must not be
	// modified afterwards.
	Body []byte
}

// Kind is JobKind.
func (r Raw) Kind() string { return r.JobKind }

// rawOf returns the Raw that args are, if they are one.
func rawOf(args Args) (Raw, bool) {
	switch r := args.(type) {
	case Raw:
		return r, true
	case *Raw:
		return *r, true
	}
	return Raw{}, false
}
