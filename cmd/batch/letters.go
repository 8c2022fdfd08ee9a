package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/driver"
)

// pageSize is how many jobs or dead letters are asked for at once: as many as may be, since
// some brokers read all dead letters for each page.
const pageSize = 1000

// costs says, by driver, what it costs to read dead letters where that is more than a look.
var costs = map[string]string{
	"amqp": "RabbitMQ can look at dead letters only by taking all of them: each page of 1000 reads every one and gives it back, one command at a time on the whole broker. batch stats counts them at no cost.",
	"sqs":  "SQS can look at dead letters only by receiving them: it reads all, hides them from others for a second or more, and charges for each request. batch stats counts them by one request.",
}

// warnOfCost says what reading dead letters costs on this broker, if it is worth a word.
func (a *app) warnOfCost(d batch.Driver) {
	if cost := costs[d.Info().Driver]; cost != "" {
		a.note("%s", cost)
	}
}

// selection says which dead letters of a queue a command is for.
type selection struct {
	ids                 []string
	named               map[string]bool // the same
	all                 bool
	kind, reason, cause string
}

// flags gives a command the flags that select dead letters.
func (s *selection) flags(c *cobra.Command, all string) {
	c.Flags().StringVar(&s.kind, "kind", "", "only dead letters of this kind")
	c.Flags().StringVar(&s.reason, "reason", "", "only those that died for this reason, as in max-attempts")
	c.Flags().StringVar(&s.cause, "error", "", "only those whose last error has this text in it")
	if all != "" {
		c.Flags().BoolVar(&s.all, "all", false, all)
	}
	reasons := []string{
		driver.ReasonAttempts, driver.ReasonPermanent, driver.ReasonUndecodable, driver.ReasonBodyUnavailable, driver.ReasonUnknownKind,
		driver.ReasonExpired, driver.ReasonPoison, driver.ReasonTooLarge, driver.ReasonRemoved, driver.ReasonRefused, driver.ReasonUnreadable,
	}
	_ = c.RegisterFlagCompletionFunc("reason", cobra.FixedCompletions(reasons, cobra.ShellCompDirectiveNoFileComp)) // the flag is there
}

// filtered tells whether one of the filters is set.
func (s *selection) filtered() bool { return s.kind != "" || s.reason != "" || s.cause != "" }

// take takes the IDs that were named, each once, and refuses what contradicts itself, or selects
// nothing although it has to, or all by an empty text.
func (s *selection) take(c *cobra.Command, ids []string) error {
	s.ids, s.named = once(ids), make(map[string]bool, len(ids))
	for _, id := range ids {
		s.named[id] = true
	}
	for _, name := range []string{"kind", "reason", "error"} {
		if f := c.Flags().Lookup(name); f.Changed && f.Value.String() == "" {
			return usage("--%s is empty, and would select what you may not want: give it a text or leave it out", name)
		}
	}
	switch {
	case s.all && (len(s.ids) > 0 || s.filtered()):
		return usage("--all cannot be combined with IDs or with --kind, --reason or --error")
	case len(s.ids) > 0 && s.filtered():
		return usage("IDs cannot be combined with --kind, --reason or --error")
	case c.Flags().Lookup("all") != nil && !s.all && len(s.ids) == 0 && !s.filtered():
		return usage("which dead letters? name their IDs, or say --kind, --reason, --error or --all")
	}
	return nil
}

// once is a list without what is in it a second time.
func once(names []string) []string {
	seen := make(map[string]bool, len(names))
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}

// matches tells whether a dead letter is one of the IDs, or passes the filters if there are none.
func (s *selection) matches(l *batch.DeadLetter) bool {
	if len(s.ids) > 0 {
		return s.named[l.ID]
	}
	return (s.kind == "" || l.Kind == s.kind) && (s.reason == "" || l.Reason == s.reason) &&
		(s.cause == "" || strings.Contains(l.LastError, s.cause))
}

// eachLetter calls visit with the dead letters of a queue that match, oldest first, until it
// says that it has enough. It tells whether there may be more.
func (a *app) eachLetter(ctx context.Context, q *batch.QueueAdmin, s *selection, page int, visit func(*batch.DeadLetter) (more bool, err error)) (more bool, err error) {
	bar := a.progress("reading dead letters", 0)
	defer bar.stop()
	read := 0
	for cursor := ""; ; {
		within, cancel := a.within(ctx)
		letters, next, err := q.DeadLetters().List(within, cursor, page)
		cancel()
		if err != nil {
			return true, err
		}
		for i := range letters {
			if !s.matches(&letters[i]) {
				continue
			}
			if goOn, err := visit(&letters[i]); err != nil || !goOn {
				return next != "" || i < len(letters)-1, err
			}
		}
		if read += len(letters); next == "" {
			return false, nil
		}
		bar.set(int64(read))
		cursor = next
	}
}

// identify lists the IDs of the dead letters that the filters match.
func (a *app) identify(ctx context.Context, q *batch.QueueAdmin, s *selection) ([]string, error) {
	var ids []string
	_, err := a.eachLetter(ctx, q, s, pageSize, func(l *batch.DeadLetter) (bool, error) {
		ids = append(ids, l.ID)
		return true, nil
	})
	return ids, err
}
