package cron

import (
	"strings"
	"time"
)

// macros are the expressions that have a name.
var macros = map[string]string{
	"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0",
	"@daily": "0 0 * * *", "@midnight": "0 0 * * *", "@hourly": "0 * * * *",
}

// Parse reads an expression: five fields, six with seconds before them, a name such as
// @daily, or @every with a duration; and perhaps a time zone before it, as in
// "CRON_TZ=Europe/Berlin 0 7 * * MON-FRI". The package's documentation has the syntax.
// Without a zone it is in UTC. A mistake is a [*ParseError].
func Parse(text string) (Schedule, error) {
	p := parser{text: text}
	s, err := p.schedule()
	if err != nil {
		return Schedule{}, err
	}
	return s, nil
}

// Expr is [Parse] for expressions that stand in a program: a mistake is found when the
// schedule is used, by [New] for example.
func Expr(text string) Schedule {
	s, err := Parse(text)
	s.err = err
	return s
}

// schedule reads all of the text.
func (p *parser) schedule() (Schedule, error) {
	if len(p.text) > maxText {
		return Schedule{}, p.fail(maxText, "", "longer than %d bytes", maxText)
	}
	words := p.words()
	zone, words, err := p.zone(words)
	if err != nil {
		return Schedule{}, err
	}
	if len(words) == 0 {
		return Schedule{}, p.fail(len(p.text), "", "ends here: want five fields (minute, hour, day, month, weekday), or six with seconds first")
	}
	s := Schedule{zone: zone}
	if strings.HasPrefix(words[0].text, "@") {
		s.text, s.rule, err = p.named(words)
		return s, err
	}
	texts := make([]string, len(words))
	for i, w := range words {
		texts[i] = w.text
	}
	s.text = strings.Join(texts, " ")
	s.rule, err = p.expression(words)
	return s, err
}

// zone takes the time zone from the front of the words, if there is one.
func (p *parser) zone(words []word) (*time.Location, []word, error) {
	if len(words) == 0 {
		return nil, words, nil
	}
	name, ok := strings.CutPrefix(words[0].text, "CRON_TZ=")
	if !ok {
		if name, ok = strings.CutPrefix(words[0].text, "TZ="); !ok {
			return nil, words, nil
		}
	}
	at := words[0].at + len(words[0].text) - len(name)
	if name == "" {
		return nil, nil, p.fail(at, "zone", "ends here: want a name such as Europe/Berlin")
	}
	if name == "Local" {
		return nil, nil, p.fail(at, "zone", "Local is another zone on each machine: want a name such as Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, nil, p.fail(at, "zone", "%q is no time zone that this system knows (%v): where there is no tzdata, import _ \"time/tzdata\"", name, err)
	}
	return zone, words[1:], nil
}

// named reads an expression that begins with @.
func (p *parser) named(words []word) (string, rule, error) {
	first := words[0]
	name := strings.ToLower(first.text)
	most := 1
	if name == "@every" {
		most = 2
	}
	if len(words) > most {
		return "", nil, p.fail(words[most].at, "", "%q is more than %s takes", words[most].text, name)
	}
	if name == "@every" {
		if len(words) == 1 {
			return "", nil, p.fail(len(p.text), "", "ends here: want a duration such as 1h30m")
		}
		d, err := time.ParseDuration(words[1].text)
		if err == nil {
			err = checkInterval(d)
		}
		if err != nil {
			return "", nil, p.fail(words[1].at, "", "%q is no interval: want a duration such as 1h30m, of whole seconds, 1s to 366 days", words[1].text)
		}
		return "@every " + d.String(), interval(d / time.Second), nil
	}
	fields, ok := macros[name]
	if !ok {
		return "", nil, p.fail(first.at, "", "%q is unknown: want @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly or @every", first.text)
	}
	inner := parser{text: fields}
	e, err := inner.expression(inner.words())
	return name, e, err
}

// expression reads five or six fields.
func (p *parser) expression(words []word) (rule, error) {
	switch {
	case len(words) < 5:
		return nil, p.fail(len(p.text), "", "ends after %d fields: want five (minute, hour, day, month, weekday), or six with seconds first", len(words))
	case len(words) > 6:
		return nil, p.fail(words[6].at, "", "%q is more than six fields", words[6].text)
	}
	e := &expression{second: 1}
	if len(words) == 6 {
		f, err := p.field(words[0], secondField)
		if err != nil {
			return nil, err
		}
		e.second, words = f.set, words[1:]
	}
	var fields [5]field
	for i, kind := range []*fieldKind{minuteField, hourField, dayField, monthField, weekdayField} {
		f, err := p.field(words[i], kind)
		if err != nil {
			return nil, err
		}
		fields[i] = f
	}
	e.minute, e.hour, e.month = fields[0].set, fields[1].set, fields[3].set
	e.wallClock = !fields[1].star && !fields[1].step
	day, weekday := fields[2], fields[4]
	e.days = days{
		inMonth: day.set, fromEnd: day.fromEnd, inWeek: weekday.set, nth: weekday.nth,
		both: day.star || weekday.star,
	}
	if _, ok := e.nextWall(0); !ok {
		return nil, p.fail(words[2].at, "day", "no year has such a day: day %s, month %s, weekday %s", words[2].text, words[3].text, words[4].text)
	}
	return e, nil
}
