package conformance

import (
	"context"
	"strings"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

var alikeCases = []Case{
	{Name: "alike-headers", Rule: "Header values arrive with their spaces, ends and cases, and names that are equal but for their case are two.", run: caseAlikeHeaders},
	{Name: "alike-dead", Rule: "Dead letters whose IDs are equal but for their end or case are told apart by Redrive and Discard.", run: caseAlikeDead},
	{Name: "alike-find", Rule: "Jobs whose IDs are equal but for their end or case are told apart by Find and Delete.", Needs: inspector, run: caseAlikeFind},
	{Name: "alike-keys", Rule: "Keys that are equal but for their end or case are different, and one is not taken by its beginning.", Needs: deduplicator, run: caseAlikeKeys},
	{Name: "alike-groups", Rule: "Groups whose names are equal but for their end or case are different.", Needs: grouper, run: caseAlikeGroups},
	{Name: "alike-texts", Rule: "Kinds, content types and IDs arrive as they are, with every character that they may have.", run: caseAlikeTexts},
	{Name: "same-id-dead", Rule: "Dead letters with one ID are redriven and discarded all together, and counted.", run: caseSameIDDead},
}

// alike are names that a careless driver takes for each other.
func alike() []string {
	long := strings.Repeat("x", 127)
	return []string{
		"name", "NAME", "Name", "name.", "name-", "name_", "name0", "name-0", "nam", "name%20", "name+", "name*", "name>", "name?", `name\`,
		"name/", "/name", "{name}", "name{", "[name]", "name:", ":name", "name,", "name;", "name=", "name|", "name'", `name"`, "name`", "name$", "name#",
		"1", "01", "1.0", "1e0", "+1", "0x1", "-1", "-", ".", "..", "*", ">", "$", "#", "%", "%%", "%s", "nil", "null", "true",
		long + "a", long + "b", long + "A", long,
	}
}

func caseAlikeHeaders(s *stage) {
	values := []string{"v", " v", "v ", " v ", "V", "v\n", "\nv", "v\r\n", "\tv", "v\t", "", " ", "  ", "\x00", "v\x00", "\x00v", "a,b", "a, b", "a;b", "=?utf-8?q?v?=", "%76", "v%", `"v"`, `\v`, "1", "01", "1.0", "true", "null", "\xff\xfe", "\u00e9", "e\u0301"}
	one, two := message("one"), message("two")
	one.Headers, two.Headers = make(map[string]string), make(map[string]string)
	for i, v := range values {
		one.Headers["h-"+name(i)] = v
		two.Headers[strings.ToUpper("h-"+name(i))] = v
		two.Headers["h-"+name(i)] = v + v
	}
	long := strings.Repeat("n", 63)
	three := message("three")
	three.Headers = map[string]string{long + "a": "1", long + "b": "2", long: "3", "n": "4", "N": "5", "n.": "6", "n_": "7", "n-": "8", "0": "9", "00": "10", "Content-Length": "11", "Nats-Msg-Id": "12", "x-death": "13"}
	s.roundTrip(one, two, three)
}

func caseAlikeTexts(s *stage) {
	var all []*driver.Message
	for _, id := range alike() {
		m := message(id)
		m.Body = []byte(id)
		all = append(all, m)
	}
	for i, kind := range []string{"k", "K", "k.", "k:", "k/", "/k", "k-", "k_", "k..k", "//"} {
		m := message(name(i))
		m.Kind = kind
		m.ContentType = []string{"a", "A", "a/b", "a/b;c=d", "a b", `a"b"`, "~", "!", "text/plain; charset=UTF-8", `\`}[i]
		all = append(all, m)
	}
	s.roundTrip(all...)
}

// alikeDead makes a dead letter of each of the names, and returns them.
func (s *stage) alikeDead() (driver.Driver, []string) {
	ids := alike()
	d := s.declared()
	for _, id := range ids {
		s.put(d, message(id))
	}
	s.kill(d, len(ids))
	s.waitDeadLetters(d, len(ids))
	return d, ids
}

func caseAlikeDead(s *stage) {
	d, ids := s.alikeDead()
	some, rest := ids[:len(ids)/3], ids[len(ids)/3:]
	n, err := d.Discard(s.ctx, s.queue, driver.Selection{IDs: some})
	s.check(err, "discard %d of %d", len(some), len(ids))
	equal(s, n, len(some), "dead letters discarded")
	s.waitDeadLetters(d, len(rest))
	s.each("dead letters that are left", s.deadIDs(d, 1000), rest)
	some, rest = rest[len(rest)/2:], rest[:len(rest)/2]
	n, err = d.Redrive(s.ctx, s.queue, driver.Selection{IDs: some})
	s.check(err, "redrive %d by their IDs", len(some))
	equal(s, n, len(some), "dead letters redriven")
	s.each("dead letters that are left", s.deadIDs(d, 1000), rest)
	s.finish(d, len(some))
	s.each("jobs that were redriven", doneIDs(s), some)
	s.waitDepth(d, driver.Depth{Dead: int64(len(rest))})
}

func caseAlikeFind(s *stage) {
	d := s.declared()
	i := capable[batch.Inspector](s, d)
	ids := alike()
	for _, id := range ids {
		s.put(d, message(id))
	}
	s.waitList(d, driver.StateWaiting, ids...)
	for n, id := range ids {
		e, err := i.Find(s.ctx, s.queue, id)
		s.check(err, "find %q", id)
		equal(s, e.ID, id, "the job that was found")
		if n%5 == 0 {
			s.delete(d, id)
		}
	}
	var rest []string
	for n, id := range ids {
		if n%5 > 0 {
			rest = append(rest, id)
		}
	}
	s.waitList(d, driver.StateWaiting, rest...)
}

func caseAlikeKeys(s *stage) {
	d := s.declared()
	keys := alike()
	var all []*driver.Message
	for i, key := range keys {
		all = append(all, unique(name(i), key))
	}
	s.put(d, all...)
	other := s.open()
	for i, key := range keys {
		if i%4 == 0 {
			s.wantDuplicate(other, unique("again", key), name(i))
		}
	}
	s.finish(d, len(keys))
	s.check(ExactCover(s.history.Events(), names(len(keys))), "judge the history")
	for i, key := range keys {
		if i%4 == 1 {
			s.wantDuplicate(other, unique("again", key), name(i))
		}
	}
}

func caseAlikeGroups(s *stage) {
	d := s.declared()
	groups := alike()
	var all []*driver.Message
	for i, group := range groups {
		all = append(all, grouped(name(i), group))
	}
	s.put(d, all...)
	c := s.consume(d, len(groups))
	for i, got := range s.receiveAll(c, len(groups)) { // all at the same time
		equal(s, got.Group, groups[i], "the group of %s", got.ID)
		s.settle(c, got, driver.OutcomeDone)
	}
	s.waitDepth(d, driver.Depth{})
}

func caseSameIDDead(s *stage) {
	const twins = 3
	d := s.declared()
	for what, move := range map[string]func(context.Context, string, driver.Selection) (int, error){"redrive": d.Redrive, "discard": d.Discard} {
		for range twins {
			s.put(d, message("twin"))
		}
		s.put(d, message("other"))
		s.kill(d, twins+1)
		s.waitDeadLetters(d, twins+1)
		n, err := move(s.ctx, s.queue, driver.Selection{IDs: []string{"twin"}})
		s.check(err, "%s of an ID that %d dead letters have", what, twins)
		equal(s, n, twins, "dead letters moved by a %s of an ID that several have", what)
		equal(s, s.waitDeadLetters(d, 1)[0].ID, "other", "the dead letter that is left")
		if what == "redrive" {
			s.finish(d, twins)
		}
		n, err = d.Discard(s.ctx, s.queue, driver.Selection{All: true})
		s.check(err, "discard")
		equal(s, n, 1, "dead letters discarded")
		s.waitDepth(d, driver.Depth{})
	}
}
