package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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

// resultsFile is a file of lines of JSON, which belongs to this process.
type resultsFile struct {
	path string
	f    *os.File
	in   *bufio.Reader
	size int64 // of the whole lines that were read
}

// openFile opens the file, or makes it, and locks it.
func openFile(path string) (*resultsFile, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	if err := lock(f); err != nil {
		return nil, errors.Join(fmt.Errorf("results file %s: %w", path, err), f.Close())
	}
	return &resultsFile{path: path, f: f, in: bufio.NewReader(f)}, nil
}

// read returns the next line without its end, and whether it has one: a crash may
// have cut the last line short.
func (f *resultsFile) read() (line []byte, whole bool, err error) {
	line, err = f.in.ReadBytes('\n')
	if errors.Is(err, io.EOF) {
		return line, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	f.size += int64(len(line))
	return bytes.TrimSuffix(line, []byte("\n")), true, nil
}

// cut removes what follows the whole lines that were read.
func (f *resultsFile) cut() error { return f.f.Truncate(f.size) }

// clear removes everything.
func (f *resultsFile) clear() error { return f.f.Truncate(0) }

// write appends v as a line, in one call.
func (f *resultsFile) write(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = f.f.Write(append(line, '\n'))
	return err
}

// Close closes the file, and unlocks it.
func (f *resultsFile) Close() error { return f.f.Close() }
