package main

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// missing is the path that -demo-failure adds.
const missing = "does-not-exist"

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

// exclude takes a file off the list: the results file, which changes meanwhile.
func (l *listing) exclude(path string) error {
	path, err := filepath.Abs(path)
	l.files = slices.DeleteFunc(l.files, func(f file) bool { return f.path == path })
	return err
}

// fingerprint is a short name for a list of strings.
func fingerprint(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:8])
}
