package main

import (
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// config is what the command line and the environment say.
type config struct {
	url     string
	jobs    string // the folder of the program's own server, if it runs on that
	roots   []string
	queue   string
	results string
	workers int
	pace    time.Duration
	reset   bool
	demo    bool
}

// parse reads the command line. What is wrong with it is printed to out.
func parse(args []string, out io.Writer) (config, error) {
	c := config{url: os.Getenv("BATCH_URL")}
	f := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	f.SetOutput(out)
	f.Usage = func() {
		fmt.Fprint(out, "usage: quickstart [flags] [files or folders...]\n\nBATCH_URL names the broker; without it the jobs are kept in a folder beside the results file.\n\n")
		f.PrintDefaults()
	}
	f.IntVar(&c.workers, "workers", 4, "how many files are worked on at once, 1 to 10000")
	f.DurationVar(&c.pace, "pace", 0, "a pause in each job, so that there is time to kill the program in mid-run")
	f.StringVar(&c.queue, "queue", "", "the queue's name; by default a queue of the run's own, removed when the run is complete")
	f.StringVar(&c.results, "results", "", "the results file; by default one in the user's cache folder, named after the arguments")
	f.BoolVar(&c.reset, "reset", false, "start over, instead of going on with a run that was interrupted")
	f.BoolVar(&c.demo, "demo-failure", true, "add the path "+missing+", to show retries and a dead letter")
	if err := f.Parse(args); err != nil {
		return c, err
	}
	if c.workers < 1 || c.workers > 10_000 || c.pace < 0 {
		fmt.Fprintln(out, "quickstart: -workers must be 1 to 10000, and -pace not negative")
		return c, flag.ErrHelp
	}
	c.roots = f.Args()
	if len(c.roots) == 0 {
		c.roots = []string{"."}
	}
	return c, nil
}

// setDefaults fills in what depends on the files that were found under the roots.
func (c *config) setDefaults(roots []string) (err error) {
	if c.results == "" {
		c.results = defaultResults(roots)
	}
	if c.url == "" {
		c.url, c.jobs, err = ownURL(c.results)
	}
	return err
}

// ownURL names a folder beside the results file, in which a JetStream server in
// this process keeps jobs.
func ownURL(results string) (address, folder string, err error) {
	folder, err = filepath.Abs(strings.TrimSuffix(results, filepath.Ext(results)) + ".jobs")
	u := url.URL{Scheme: "jetstream", Path: filepath.ToSlash(folder), OmitHost: true}
	return u.String(), folder, err
}

// defaultResults is a file in the user's cache folder whose name depends on the
// arguments, so that the same arguments find it again.
func defaultResults(roots []string) string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "batch-quickstart", fingerprint(roots...)+".jsonl")
}
