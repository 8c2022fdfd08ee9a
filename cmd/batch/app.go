package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// The groups of commands in the help.
const (
	groupLook   = "look"
	groupChange = "change"
	groupBroker = "broker"
)

// app is one run of the command: its streams, and the flags that every command has.
type app struct {
	in       io.Reader
	out, err io.Writer
	env      func(string) string

	url     string
	json    bool
	quiet   bool
	yes     bool
	noColor bool
	timeout time.Duration
}

// newApp makes the run of a process.
func newApp(in io.Reader, out, err io.Writer, env func(string) string) *app {
	return &app{in: in, out: out, err: err, env: env}
}

// note tells the user something beside the output, on the standard error: for programs as an
// object, as all that they find there.
func (a *app) note(format string, args ...any) {
	switch {
	case a.quiet:
	case a.json:
		_ = json.NewEncoder(a.err).Encode(struct {
			Note string `json:"note"`
		}{fmt.Sprintf(format, args...)})
	default:
		fmt.Fprintf(a.err, "note: "+format+"\n", args...)
	}
}

// isTerminal tells whether a stream is one that a person sees.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// widthOf is how many columns a terminal has, and 0 for all else.
func widthOf(stream any) int {
	f, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}

// colours tells whether a stream takes colours: a terminal, unless NO_COLOR is set
// (https://no-color.org), TERM says that it cannot, or the user does not want them.
func (a *app) colours(stream any) bool {
	return !a.noColor && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb" && isTerminal(stream)
}

// within bounds one request to the broker.
func (a *app) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// print writes one JSON object a line for each value, for programs.
func (a *app) print(values ...any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			return wrote(err)
		}
	}
	return nil
}

// show writes a table, for people.
func (a *app) show(t *table) error {
	return wrote(t.write(a.out, widthOf(a.out), a.colours(a.out)))
}

// say writes one sentence as the result of a command that has no table, for people.
func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return wrote(err)
}

// logs is where lines go that tell what happened, beside the output: nowhere with --quiet.
func (a *app) logs() io.Writer {
	if a.quiet {
		return io.Discard
	}
	return a.err
}
