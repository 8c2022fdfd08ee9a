package main

import (
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// command is the tree of commands.
func (a *app) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "batch",
		Short: "Look after the queues of a broker",
		Long: `batch looks after the background jobs on a broker: RabbitMQ, Redis, NATS JetStream,
Amazon SQS, or JetStream in a folder.

The broker is named by --url or BATCH_URL. A password belongs into BATCH_URL: other
users of the machine can see the arguments of a process.

What a broker cannot tell is shown as ?, and in JSON as null; it is never shown as
zero. What it cannot do is an error, with an exit code of its own.`,
		Example: `  export BATCH_URL=redis://localhost:6379

  batch stats                                  how many jobs, in every queue
  batch dead list emails                       what died, and why
  batch dead redrive emails --kind email.welcome
  batch jobs find emails 0199a2c4
  batch doctor                                 what is wrong with the broker
  batch stats -json | jq 'select(.dead > 0)'

Exit codes:
  0  done                               5  the broker cannot be reached
  1  the broker failed                  6  the broker refused the credentials
  2  flags, arguments or URL are wrong  7  doctor found something that fails
  3  no such queue or job               8  not confirmed
  4  the broker cannot do this          130, 141, 143  ended by a signal`,
		Version:               version(),
		SilenceUsage:          true,
		SilenceErrors:         true,
		DisableFlagsInUseLine: true,
	}
	flags := root.PersistentFlags()
	flags.StringVar(&a.url, "url", "", "the broker, as in redis://localhost:6379 (default $BATCH_URL)")
	flags.BoolVar(&a.json, "json", false, "print one JSON object a line, for programs")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print no notes and no progress")
	flags.BoolVar(&a.noColor, "no-color", false, "print no colours, as with NO_COLOR")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "how long to wait for one answer of the broker")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage("%v", err) })
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.timeout <= 0 {
			return usage("--timeout is %s, and must be more than zero", a.timeout)
		}
		return nil
	}
	root.AddGroup(
		&cobra.Group{ID: groupLook, Title: "Look:"},
		&cobra.Group{ID: groupChange, Title: "Change:"},
		&cobra.Group{ID: groupBroker, Title: "The broker:"},
	)
	root.AddCommand(
		a.queuesCommand(), a.statsCommand(), a.deadCommand(), a.jobsCommand(), a.dashCommand(),
		a.pauseCommand(), a.resumeCommand(), a.moveCommand(),
		a.doctorCommand(), a.benchCommand(),
	)
	return root
}

// helpOnWhat makes an error of help on a command that is not there, for which cobra shows the
// help of all.
func helpOnWhat(help *cobra.Command, args []string) error {
	if _, rest, err := help.Root().Find(args); err != nil || len(rest) > 0 {
		return fmt.Errorf("unknown command %q", strings.Join(args, " "))
	}
	return nil
}

// maxTypos is how many letters may be wrong in a command that is suggested.
const maxTypos = 2

// mistakes makes usage errors of what cobra says of arguments and unknown commands, and says
// which command may have been meant. A command that only has others below it shows its help.
func mistakes(c *cobra.Command) {
	c.SuggestionsMinimumDistance = maxTypos
	if c.HasSubCommands() && !c.Runnable() {
		c.Args, c.RunE = cobra.NoArgs, func(c *cobra.Command, _ []string) error { return c.Help() }
	}
	if check := c.Args; check != nil {
		c.Args = func(c *cobra.Command, args []string) error {
			err := check(c, args)
			if err == nil {
				return nil
			}
			line, _, _ := strings.Cut(err.Error(), "\n")
			if like := c.SuggestionsFor(args0(args)); c.HasSubCommands() && len(like) > 0 {
				line += ": did you mean " + strings.Join(like, " or ") + "?"
			}
			return usage("%s", line)
		}
	}
	for _, below := range c.Commands() {
		mistakes(below)
	}
}

// args0 is the first argument, or none.
func args0(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// version is that of the module, or of the commit that the program was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return info.Main.Version + " " + info.GoVersion
}

// longFlags makes --json of -json for each flag that there is, as the go command's users
// write it. A dash before one letter stays what it is, and so does what is the value of a flag
// or behind "--".
func longFlags(root *cobra.Command, args []string) []string {
	takes := make(map[string]bool)
	collect(root, takes)
	all := make([]string, 0, len(args))
	isValue := false
	for i, arg := range args {
		if isValue {
			all, isValue = append(all, arg), false
			continue
		}
		if arg == "--" {
			return append(all, args[i:]...)
		}
		name, _, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if value, known := takes[name]; known && len(name) > 1 && strings.HasPrefix(arg, "-") {
			if !strings.HasPrefix(arg, "--") {
				arg = "-" + arg
			}
			isValue = value && !given
		}
		all = append(all, arg)
	}
	return all
}

// beforeDashes are the arguments before "--", where flags may be.
func beforeDashes(args []string) []string {
	if i := slices.Index(args, "--"); i >= 0 {
		return args[:i]
	}
	return args
}

// collect notes the names of all flags of a command and of those below it, and whether they take
// a value.
func collect(c *cobra.Command, takes map[string]bool) {
	note := func(f *pflag.Flag) { takes[f.Name] = f.NoOptDefVal == "" }
	c.PersistentFlags().VisitAll(note)
	c.Flags().VisitAll(note)
	takes["help"], takes["version"] = false, false // cobra adds these when it runs
	for _, below := range c.Commands() {
		collect(below, takes)
	}
}
