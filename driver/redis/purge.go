package redis

import "context"

// purgeOrder are the places where jobs wait, in the order in which Purge empties them:
// a job that stands behind another must not become ready in a stream that is done.
var purgeOrder = [...]int{placeBehind, 1, 2, 3, 4, 5, 16, 17, 18, 19, 20}

// Purge removes waiting jobs in bounded steps, each one script. Producers cannot keep
// it busy for ever.
func (d *Driver) Purge(ctx context.Context, queue string) (int, error) {
	removed := 0
	for _, place := range purgeOrder {
		bound := ""
		for {
			raw, err := d.conn.eval(ctx, purgeScript, append(purgeScript.args(d.names(queue), 3), place, bound, maxStep))
			if err != nil {
				return removed, fail("purge", queue, err)
			}
			r := reader{buf: raw}
			if r.array() != 2 {
				return removed, fail("purge", queue, errReply)
			}
			n := r.count(maxStep)
			bound = r.string()
			if r.err != nil {
				return removed, fail("purge", queue, r.err)
			}
			removed += int(n)
			if bound == "" {
				break
			}
		}
	}
	return removed, nil
}
