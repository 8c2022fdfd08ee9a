package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// record is a line of the file.
type record struct {
	Key    string `json:"key"`
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	Lines  int64  `json:"lines"`
	SHA256 string `json:"sha256"`
}

// header is the first line: which run the lines belong to.
type header struct {
	Quickstart int       `json:"quickstart"` // the format's version
	Run        string    `json:"run"`
	Roots      []string  `json:"roots"`
	Started    time.Time `json:"started"`
}

// footer is the last line of a run that is complete.
type footer struct {
	Complete bool `json:"complete"`
}

// openResults opens the file, takes it for this process and reads what is there.
// A run that was interrupted is gone on with; after one that is complete, or with
// reset, a new one begins.
func openResults(path string, roots []string, reset bool) (*results, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	r := &results{path: path, f: f, busy: make(map[string]claim), tokens: uint64(time.Now().UnixNano())}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("results file %s: %w", path, err), f.Close())
	}
	if err := r.load(roots, reset); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return r, nil
}

func (r *results) load(roots []string, reset bool) error {
	r.done = make(map[string]done)
	in := bufio.NewReader(r.f)
	first, whole, err := readLine(in)
	if err != nil {
		return err
	}
	var h header
	switch {
	case !whole && len(first) == 0:
		return r.begin(roots)
	case json.Unmarshal(first, &h) != nil || h.Quickstart != 1:
		return fmt.Errorf("%s is not a results file of quickstart; name another with -results", r.path)
	case reset:
		r.abandoned = h.Run
		return r.begin(roots)
	case !slices.Equal(h.Roots, roots):
		return fmt.Errorf("%s belongs to a run over %q; -reset starts over, -results names another file", r.path, h.Roots)
	}
	r.run, r.started, r.resumed = h.Run, h.Started, true
	size := int64(len(first)) + 1
	for n := 2; ; n++ {
		line, whole, err := readLine(in)
		if err != nil {
			return err
		}
		if !whole {
			return r.f.Truncate(size)
		}
		size += int64(len(line)) + 1
		var end footer
		if json.Unmarshal(line, &end) == nil && end.Complete {
			return r.begin(roots)
		}
		var rec record
		if err := json.Unmarshal(line, &rec); err != nil || rec.Key == "" {
			return fmt.Errorf("line %d of %s cannot be read; -reset starts over", n, r.path)
		}
		r.done[rec.Key] = done{record: rec}
	}
}

// begin empties the file for a new run.
func (r *results) begin(roots []string) error {
	id := make([]byte, 4)
	rand.Read(id) // never fails
	r.run, r.resumed, r.started = hex.EncodeToString(id), false, time.Now()
	clear(r.done)
	if err := r.f.Truncate(0); err != nil {
		return err
	}
	return r.write(header{1, r.run, roots, r.started})
}

// readLine returns a line without its end, and whether it has one.
func readLine(in *bufio.Reader) (line []byte, whole bool, err error) {
	line, err = in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return line, false, nil
	}
	return bytes.TrimSuffix(line, []byte("\n")), err == nil, err
}

// write appends v as a line, in one call.
func (r *results) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = r.f.Write(append(line, '\n'))
	return err
}

// Finish says that the run is complete: the next one starts over.
func (r *results) Finish() error { return r.write(footer{true}) }

// Close gives the file up.
func (r *results) Close() error { return r.f.Close() }
