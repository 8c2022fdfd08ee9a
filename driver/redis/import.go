package redis

import (
	"context"

	"github.com/batch-go/batch/driver"
	"github.com/batch-go/batch/internal/fault"
	"github.com/batch-go/batch/internal/wire"
)

// Import stores jobs as Enqueue does, a page a script. A scheduled job of a group that
// has others stands behind them, and is held back when its turn comes before its time.
func (d *Driver) Import(ctx context.Context, queue string, entries []*driver.Entry) []driver.Result {
	if len(entries) == 0 {
		return nil
	}
	if err := d.eviction.refuse("import", queue); err != nil {
		return fault.Results(len(entries), err)
	}
	results, fit, index := checkEntries(queue, entries)
	place := func(i int) int { // of a fit one among the entries
		if index == nil {
			return i
		}
		return index[i]
	}
	for at := 0; at < len(fit); at += pageJobs {
		page := fit[at:min(at+pageJobs, len(fit))]
		duplicates, err := d.importPage(ctx, queue, page)
		if results == nil && (err != nil || len(duplicates) > 0) {
			results = make([]driver.Result, len(entries))
		}
		if err != nil {
			failed := make([]driver.Result, len(fit))
			failPages(failed, at, len(page), fail("import", queue, err))
			for i, r := range failed[at:] {
				results[place(at+i)] = r
			}
			return results
		}
		for i, first := range duplicates {
			results[place(at+i)] = driver.Result{Duplicate: true, DuplicateOf: first}
		}
	}
	return results
}

// checkEntries returns the entries that can be stored, and of those that cannot the errors
// in results. If all can be, there are no results, and index, which is the place of each
// fit one among the entries, is not set.
func checkEntries(queue string, entries []*driver.Entry) (results []driver.Result, fit []*driver.Entry, index []int) {
	for i, e := range entries {
		if err := checkEntry(queue, e); err != nil {
			if results == nil {
				results = make([]driver.Result, len(entries))
			}
			results[i].Err = err
		}
	}
	if results == nil {
		return nil, entries, nil
	}
	for i, e := range entries {
		if results[i].Err == nil {
			fit, index = append(fit, e), append(index, i)
		}
	}
	return results, fit, index
}

// importPage stores jobs with one script. Of each that was imported before it returns, by its
// position, the ID of the first job with its key.
func (d *Driver) importPage(ctx context.Context, queue string, entries []*driver.Entry) (map[int]string, error) {
	n := d.names(queue)
	var keys []string
	numbers := make(map[string]int) // import key to its number among keys, from 1
	for _, e := range entries {
		if e.ImportKey != "" && numbers[e.ImportKey] == 0 {
			keys = append(keys, n.imported(e.ImportKey))
			numbers[e.ImportKey] = len(keys)
		}
	}
	s := argStrings{strings: make([]string, 0, 4*len(entries)+8)}
	args := importScript.args(n, 1+13*len(entries), keys...)
	args = append(args, wire.Millis(d.dedupWindow))
	for _, e := range entries {
		at := len(args)
		args = append(args, nil, e.State.String(), wire.Millis(e.Delay), numbers[e.ImportKey], s.add(e.Group))
		args = appendRequired(args, &s, &e.Message)
		optional := len(args)
		args = appendOptional(args, &s, &e.Message)
		args = appendHistory(args, &s, e)
		args[at] = messageCode(&e.Message, len(args)-optional)
	}
	raw, err := d.conn.evalStore(ctx, importScript, args)
	if err != nil {
		return nil, err
	}
	return readDuplicates(raw, len(entries))
}

// ForgetImports forgets keys, a page a script.
func (d *Driver) ForgetImports(ctx context.Context, queue string, keys []string) error {
	n := d.names(queue)
	for len(keys) > 0 {
		page := make([]string, min(pageJobs, len(keys)))
		for i := range page {
			page[i] = n.imported(keys[i])
		}
		if _, err := d.conn.eval(ctx, forgetScript, forgetScript.args(n, 0, page...)); err != nil {
			return fail("forget imports", queue, err)
		}
		keys = keys[len(page):]
	}
	return nil
}

// checkEntry refuses what would be stored as another job than was meant, or as one that
// cannot be read.
func checkEntry(queue string, e *driver.Entry) error {
	if err := checkLevel("import", queue, &e.Message); err != nil {
		return err
	}
	return faults.CheckEntry(queue, e, maxDelay, maxCount)
}
