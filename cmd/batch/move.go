package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/batch-go/batch"
	"github.com/batch-go/batch/internal/depths"
	"github.com/batch-go/batch/move"
)

// moveOptions are the flags of batch move.
type moveOptions struct {
	to, toQueue string
	kinds       []string
	states      []string
	drop        []string
	leave, park bool
	follow      bool
	concurrency int
	idle        time.Duration
	patience    time.Duration
}

// moveCommand carries a queue to another broker.
func (a *app) moveCommand() *cobra.Command {
	var o moveOptions
	c := &cobra.Command{
		Use:     "move <queue>",
		GroupID: groupChange,
		Short:   "Move a live queue to another broker, or to another name",
		Long: `Move all jobs of a queue to another broker, while producers and workers go on: waiting and
scheduled jobs and dead letters, with their history. Without --to the target is the same broker,
and --to-queue renames the queue. docs/move.md is the procedure for production.

It ends when the queue is empty and nothing runs, or with --follow at Ctrl-C. Nothing is lost if
it is killed: run it again. RabbitMQ and SQS cannot list scheduled jobs, so from there it goes on
until the last is due.

A job that the target cannot keep stops it, unless you --drop what cannot be kept, say
--leave-refused, or --park to make dead letters of such jobs. A password belongs in BATCH_URL
and BATCH_TO_URL.`,
		Example: `  batch move emails --url amqp://localhost --to redis://localhost:6379
  batch move emails --to-queue mails
  batch move emails --to "$NEW" --drop priority,group --follow
  batch move emails --to "$NEW" --kind email.welcome -json`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeQueue(false),
		RunE: func(c *cobra.Command, args []string) error {
			for _, name := range []string{"to", "to-queue", "kind", "state", "drop"} {
				if f := c.Flags().Lookup(name); f.Changed && strings.Trim(f.Value.String(), "[]") == "" {
					return usage("--%s is empty: give it a value or leave it out", name)
				}
			}
			return a.moveQueue(c.Context(), args[0], &o)
		},
	}
	flags := c.Flags()
	flags.StringVar(&o.to, "to", "", "the broker to move to (default $BATCH_TO_URL, or else the same broker)")
	flags.StringVar(&o.toQueue, "to-queue", "", "the name of the queue on the target (default the same)")
	flags.StringSliceVar(&o.kinds, "kind", nil, "only jobs of these kinds; the others stay")
	flags.StringSliceVar(&o.states, "state", nil, "only jobs in these states: waiting, scheduled, dead (default all)")
	flags.StringSliceVar(&o.drop, "drop", nil, "what jobs may lose on the target: "+strings.Join(move.Droppable(), ", "))
	flags.BoolVar(&o.leave, "leave-refused", false, "leave jobs that the target cannot keep, instead of stopping")
	flags.BoolVar(&o.park, "park", false, "make dead letters of jobs that the target cannot keep, on the source")
	flags.BoolVar(&o.follow, "follow", false, "go on until Ctrl-C, also while a broker is away")
	flags.IntVar(&o.concurrency, "concurrency", 4, "batches of jobs under way at once; 1 keeps the order")
	flags.DurationVar(&o.idle, "idle", 5*time.Second, "end when the queue has been empty for so long")
	flags.DurationVar(&o.patience, "patience", time.Minute, "end when a broker has failed for so long")
	const noFiles = cobra.ShellCompDirectiveNoFileComp
	_ = c.RegisterFlagCompletionFunc("drop", cobra.FixedCompletions(move.Droppable(), noFiles)) // the flags are there
	_ = c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions([]string{"waiting", "scheduled", "dead"}, noFiles))
	return c
}

// options are those of package move. It refuses empty texts, which would select what nobody wants.
func (o *moveOptions) options() ([]move.Option, error) {
	all := []move.Option{move.Concurrency(o.concurrency), move.Quiet(o.idle), move.Patience(o.patience)}
	if o.toQueue != "" {
		all = append(all, move.To(o.toQueue))
	}
	for _, list := range [][]string{o.kinds, o.states, o.drop} {
		if slices.Contains(list, "") {
			return nil, usage("--kind, --state and --drop take names, and one is empty")
		}
	}
	if len(o.kinds) > 0 {
		all = append(all, move.Kinds(o.kinds...))
	}
	var states []batch.State
	for _, name := range o.states {
		i := slices.Index([]string{"waiting", "scheduled", "dead"}, name)
		if i < 0 {
			return nil, usage("--state is %q, and must be waiting, scheduled or dead", name)
		}
		states = append(states, batch.StateWaiting+batch.State(i))
	}
	if len(states) > 0 {
		all = append(all, move.Only(states...))
	}
	for _, name := range o.drop {
		all = append(all, move.Drop(move.Property(name)))
	}
	if o.leave {
		all = append(all, move.LeaveRefused())
	}
	if o.park {
		all = append(all, move.Park())
	}
	if o.follow {
		all = append(all, move.Follow())
	}
	return all, nil
}

// moveQueue moves a queue and says how many jobs there were, whatever ended it.
func (a *app) moveQueue(ctx context.Context, queue string, o *moveOptions) error {
	options, err := o.options()
	if err != nil {
		return err
	}
	from, err := a.brokerURL()
	if err != nil {
		return err
	}
	to := o.to
	if to == "" {
		to = a.env("BATCH_TO_URL")
	}
	if to == "" {
		to = from
	}
	if to == from && (o.toQueue == "" || o.toQueue == queue) {
		return usage("source and target are the same queue: name another broker with --to, or another queue with --to-queue")
	}
	return a.on(ctx, func(source batch.Driver) error {
		if to == from {
			target, ok := source.(batch.Importer)
			if !ok {
				return usage("%s cannot store jobs that were elsewhere", product(source))
			}
			return a.carry(ctx, source, target, queue, o, options)
		}
		other := *a
		other.url = to
		return other.on(ctx, func(target batch.Driver) error {
			importer, ok := target.(batch.Importer)
			if !ok {
				return usage("%s cannot store jobs that were elsewhere", product(target))
			}
			return a.carry(ctx, source, importer, queue, o, options)
		})
	})
}

// carry runs the move with a bar, and says what came of it.
func (a *app) carry(ctx context.Context, from batch.Driver, to batch.Importer, queue string, o *moveOptions, options []move.Option) error {
	following, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	bar := a.progress("moving", a.movable(ctx, from, queue, o))
	told := faultNotes{app: a}
	options = append(options, move.OnFault(told.tell), move.OnProgress(func(p move.Progress) {
		bar.set(p.Moved())
		if a.json && o.follow {
			if err := a.print(movedOf(&p, false)); err != nil {
				stop(err) // nobody reads it any more
			}
		}
	}))
	p, err := move.Run(following, from, to, queue, options...)
	bar.stop()
	if ctx.Err() == nil && following.Err() != nil { // with --follow any end of it is a good one for the move
		err = context.Cause(following)
	}
	if p.From != "" {
		if said := a.sayMoved(&p, from, to); err == nil {
			err = said
		}
	}
	var refused *move.RefusedError
	if errors.As(err, &refused) {
		return &refusedError{refused}
	}
	return err
}

// movable is how many jobs there are to move, or zero if nobody knows.
func (a *app) movable(ctx context.Context, d batch.Driver, queue string, o *moveOptions) int64 {
	if o.follow || len(o.kinds) > 0 || len(o.states) > 0 {
		return 0
	}
	q, err := batch.Admin(d, queue)
	if err != nil {
		return 0
	}
	ctx, cancel := a.within(ctx)
	defer cancel()
	depth, err := q.Depth(ctx)
	if err != nil || min(depth.Waiting, depth.Scheduled, depth.Dead) < 0 {
		return 0
	}
	return depth.Waiting + depth.Scheduled + depth.Dead
}

// sayMoved says what was moved.
func (a *app) sayMoved(p *move.Progress, from, to batch.Driver) error {
	if p.Doubled > 0 {
		a.note("%s may be on both sides, with the same ID: docs/move.md says when that happens", someJobs(p.Doubled))
	}
	if a.json {
		return a.print(movedOf(p, true))
	}
	left := ""
	if p.Refused > 0 || p.Others > 0 {
		left = "; the others were left"
	}
	if p.Parked > 0 {
		left += fmt.Sprintf("; %s cannot be kept there, and became dead letters of %s (batch dead list %s --reason refused)", someJobs(p.Parked), p.From, p.From)
	}
	return a.say("moved %s of queue %s on %s to %s on %s: %d waiting, %d scheduled, %d dead%s", someJobs(p.Moved()),
		p.From, product(from), p.To, product(to), p.Waiting, p.Scheduled, p.Dead, left)
}

// someJobs is a number of jobs in words.
func someJobs(n int64) string {
	return number(int(n)).text + plural(int(n), " job", " jobs")
}

// movedLine is the progress of a move as programs read it.
type movedLine struct {
	Queue     string        `json:"queue"`
	ToQueue   string        `json:"to_queue"`
	Ended     bool          `json:"ended"`
	Moved     int64         `json:"moved"`
	Waiting   int64         `json:"waiting"`
	Scheduled int64         `json:"scheduled"`
	Dead      int64         `json:"dead"`
	Found     int64         `json:"found"`
	Doubled   int64         `json:"doubled"`
	Refused   int64         `json:"refused"`
	Others    int64         `json:"others"`
	Parked    int64         `json:"parked"`
	Left      movedLineLeft `json:"left"`
	Rate      float64       `json:"rate"`
	Seconds   float64       `json:"seconds"`
}

// movedLineLeft is what the source has; null is what nobody knows.
type movedLineLeft struct {
	Waiting   *int64 `json:"waiting"`
	Scheduled *int64 `json:"scheduled"`
	Running   *int64 `json:"running"`
	Dead      *int64 `json:"dead"`
}

// movedOf writes the progress.
func movedOf(p *move.Progress, ended bool) movedLine {
	return movedLine{
		Queue: p.From, ToQueue: p.To, Ended: ended, Moved: p.Moved(), Waiting: p.Waiting, Scheduled: p.Scheduled, Dead: p.Dead,
		Found: p.Found, Doubled: p.Doubled, Refused: p.Refused, Others: p.Others, Parked: p.Parked,
		Left: movedLineLeft{depths.Known(p.Left.Waiting), depths.Known(p.Left.Scheduled), depths.Known(p.Left.Running), depths.Known(p.Left.Dead)},
		Rate: p.Rate, Seconds: p.Elapsed.Seconds(),
	}
}

// refusedError is a job that the target cannot keep, with the flags that help.
type refusedError struct{ *move.RefusedError }

// Error names the job and the flags.
func (e *refusedError) Error() string {
	text := fmt.Sprintf("the %s job %s of kind %s cannot be stored on queue %s of %s, because of its %s: %s",
		e.State, e.JobID, e.JobKind, e.Queue, e.Target, e.Property, strings.TrimPrefix(e.Err.Error(), "batch: "))
	if slices.Contains(move.Droppable(), string(e.Property)) {
		return fmt.Sprintf("%s (--drop %s moves such jobs without it, --leave-refused leaves them, --park makes them dead letters)", text, e.Property)
	}
	return text + " (--leave-refused leaves such jobs where they are, --park makes them dead letters)"
}

// Unwrap gives the error of package move.
func (e *refusedError) Unwrap() error { return e.RefusedError }

// faultNotes tells the faults of a move, each as often as it is another one.
type faultNotes struct {
	app  *app
	mu   sync.Mutex // guards following
	last string
}

// tell notes a fault, unless it was the last one, too.
func (n *faultNotes) tell(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if text := err.Error(); text != n.last {
		n.last = text
		n.app.note("%s", printable(strings.ReplaceAll(text, "\n", "; ")))
	}
}
