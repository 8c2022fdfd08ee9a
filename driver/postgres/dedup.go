package postgres

import "github.com/batch-go/batch/driver"

// freeKeys frees the keys of jobs that are gone. It waits for no transaction of the application: one that has locked a
// key has taken it anew, after its time, and the key is not the job's any more or is forgotten as expired.
const freeKeys = `freed AS (
		DELETE FROM batch.keys k USING (
			SELECT x.ctid AS place FROM gone g JOIN batch.keys x ON x.queue = g.queue AND x.key = g.dedup_key AND x.number = g.dedup_number
			FOR UPDATE OF x SKIP LOCKED
		) f WHERE k.ctid = f.place
	)`

// twins are the messages of a call whose key is that of one before them, and which that is.
type twins map[int]int

// leaveTwins leaves out the messages whose key is that of another before them in the same call: a
// statement may not meet a key twice. index has their places in the call.
func leaveTwins(messages []*driver.Message, index []int) ([]*driver.Message, []int, twins) {
	first := make(map[string]int)
	left := make(twins)
	kept, places := messages[:0], index[:0]
	for k, m := range messages {
		i := index[k]
		if m.DedupKey != "" {
			if at, twin := first[m.DedupKey]; twin {
				left[i] = at
				continue
			}
			first[m.DedupKey] = i
		}
		kept, places = append(kept, m), append(places, i)
	}
	return kept, places, left
}

// answer gives twins the fate of the first with their key: its error, the job of which it is a duplicate,
// or that they are its duplicates.
func (t twins) answer(messages []*driver.Message, results []driver.Result) {
	for i, at := range t {
		results[i] = results[at]
		if r := results[at]; r.Err == nil && !r.Duplicate {
			results[i] = driver.Result{Duplicate: true, DuplicateOf: messages[at].ID}
		}
	}
}
