package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/idempotency"
)

// Digest is the job: read one file.
type Digest struct {
	Run  string `json:"run"`
	Path string `json:"path"`
}

// Kind is the job's name on the wire.
func (Digest) Kind() string { return "quickstart.digest" }

// digester handles Digest jobs.
type digester struct {
	results *results
	tally   *tally
	pace    time.Duration
}

// Handle reads the file and appends what it found to the results. An error
// makes the library try again, and in the end move the job to the dead letters.
func (d *digester) Handle(ctx context.Context, job *batch.Job[Digest]) error {
	if job.Args.Run != d.results.Run() {
		return batch.Permanent(fmt.Errorf("the job belongs to run %s, and this is run %s", job.Args.Run, d.results.Run()))
	}
	r, err := digest(ctx, job.Args.Path)
	if err != nil {
		return err
	}
	if err := wait(ctx, d.pace); err != nil {
		return err
	}
	held, _ := idempotency.ClaimOf(ctx)
	if err := d.results.Append(held, r); err != nil {
		return err
	}
	d.tally.found(r)
	return nil
}

// digest reads a file to its end, or until ctx ends.
func digest(ctx context.Context, path string) (record, error) {
	f, err := os.Open(path)
	if err != nil {
		return record{}, err
	}
	defer f.Close()
	r := record{Path: path}
	sum := sha256.New()
	buf := make([]byte, 256<<10)
	for {
		n, err := f.Read(buf)
		sum.Write(buf[:n])
		r.Bytes += int64(n)
		r.Lines += int64(bytes.Count(buf[:n], []byte{'\n'}))
		if errors.Is(err, io.EOF) {
			r.SHA256 = hex.EncodeToString(sum.Sum(nil))
			return r, nil
		}
		if err == nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return record{}, err
		}
	}
}

// wait pauses for d unless ctx ends before.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// file is one to be digested.
type file struct {
	path string // absolute
	name string // as it is shown
}

// key names the file's job and its result in a run. It is the same after a
// restart.
func (f file) key(run string) string { return run + "-" + fingerprint(f.path) }

// listing is what was found under the roots.
type listing struct {
	roots   []string // absolute, sorted
	files   []file
	skipped []string // folders that cannot be listed, with the reason
	demo    bool     // the last file is the missing one
}

// scan lists the files under roots, without .git and what is not a file: a
// folder, device or pipe. A broken link is listed: its job will tell.
func scan(roots []string, demo bool) (*listing, error) {
	l := &listing{demo: demo}
	seen := make(map[string]bool)
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	add := func(path string) {
		if seen[path] {
			return
		}
		seen[path] = true
		name := path
		if rel, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(rel, "..") {
			name = rel
		}
		l.files = append(l.files, file{path, name})
	}
	for _, root := range roots {
		root, err := filepath.Abs(root)
		if err != nil {
			return nil, err
		}
		if _, err := os.Lstat(root); err != nil {
			return nil, err
		}
		l.roots = append(l.roots, root)
		err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				l.skipped = append(l.skipped, err.Error())
				return nil
			}
			if e.Name() == ".git" && path != root {
				if e.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if info, err := os.Stat(path); err != nil || info.Mode().IsRegular() {
				add(path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(l.roots)
	l.roots = slices.Compact(l.roots)
	if demo {
		folder := l.roots[0]
		if info, err := os.Stat(folder); err == nil && !info.IsDir() {
			folder = filepath.Dir(folder)
		}
		add(filepath.Join(folder, missing))
	}
	return l, nil
}

// leaveOut takes a file off the list: the results file, which changes meanwhile.
func (l *listing) leaveOut(path string) error {
	path, err := filepath.Abs(path)
	l.files = slices.DeleteFunc(l.files, func(f file) bool { return f.path == path })
	return err
}

// fingerprint is a short name for a list of strings.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
