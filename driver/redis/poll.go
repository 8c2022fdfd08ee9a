package redis

// poll asks for the tokens of all members, on all servers, and waits until it is time to do so
// again, or there are no members any more.
func (l *listener) poll(r *round) {
	commands := make([][]any, len(r.members))
	for i, m := range r.members {
		commands[i] = []any{"lpop", m.names.shared[wakeIndex]}
	}
	replies, errs := l.conn.each(lookPatience, commands)
	for i := range replies {
		if errs[i] != nil {
			r.members[i].wakeAll(errs[i])
			continue
		}
		token := reader{buf: replies[i]}
		if len(token.bytes()) > 0 {
			l.serveToken(r, r.members[i].names.wake)
		}
		if token.err != nil { // another server has the queue by now: a fetch finds that out
			r.members[i].wakeAll(nil)
		}
	}
	l.rest()
}
