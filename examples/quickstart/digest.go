package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
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
	results  *results
	progress *progress
	pace     time.Duration
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
	d.progress.add(r)
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
