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
	for at := 0; at < len(fit); at += pageJobs {
		page := fit[at:min(at+pageJobs, len(fit))]
		if err := d.importPage(ctx, queue, page); err != nil {
			failed := make([]driver.Result, len(fit))
			failPages(failed, at, len(page), fail("import", queue, err))
			if results == nil {
				return failed
			}
			for i, r := range failed {
				results[index[i]] = r
			}
			return results
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

// importPage stores jobs with one script.
func (d *Driver) importPage(ctx context.Context, queue string, entries []*driver.Entry) error {
	s := argStrings{strings: make([]string, 0, 4*len(entries)+8)}
	args := importScript.args(d.names(queue), 12*len(entries))
	for _, e := range entries {
		at := len(args)
		args = append(args, nil, e.State.String(), wire.Millis(e.Delay), s.add(e.Group))
		args = appendRequired(args, &s, &e.Message)
		optional := len(args)
		args = appendOptional(args, &s, &e.Message)
		args = appendHistory(args, &s, e)
		args[at] = messageCode(&e.Message, len(args)-optional)
	}
	_, err := d.conn.evalStore(ctx, importScript, args)
	return err
}

// checkEntry refuses what would be stored as another job than was meant, or as one that
// cannot be read.
func checkEntry(queue string, e *driver.Entry) error {
	if err := checkLevel("import", queue, &e.Message); err != nil {
		return err
	}
	return faults.CheckEntry(queue, e, maxDelay, maxCount)
}
