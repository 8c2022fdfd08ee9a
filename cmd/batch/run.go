package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// run runs the command that args name, and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root := a.command()
	root.InitDefaultHelpCmd()
	if help, _, err := root.Find([]string{"help"}); err == nil {
		help.Args = helpOnWhat
	}
	root.InitDefaultCompletionCmd()
	mistakes(root)
	args = longFlags(root, args)
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	code := codeOf(ctx, err)
	if wrong := (*usageError)(nil); errors.As(err, &wrong) && slices.Contains(beforeDashes(args), "--json") {
		a.json = true // what is wrong came before it, and it was not read
	}
	if err != nil && code != exitPipe { // the reader that has closed the pipe knows
		a.complain(ctx, err, code)
	}
	return code
}

// complain says what went wrong, on the standard error: for programs as one JSON object.
func (a *app) complain(ctx context.Context, err error, code int) {
	text := err.Error()
	var ended signalError
	if ctx.Err() != nil && errors.As(context.Cause(ctx), &ended) {
		text = ended.Error()
	}
	if a.json {
		_ = json.NewEncoder(a.err).Encode(struct {
			Error    string `json:"error"`
			ExitCode int    `json:"exit_code"`
		}{text, code})
		return
	}
	fmt.Fprintf(a.err, "batch: %s\n", printable(strings.ReplaceAll(strings.TrimPrefix(text, "batch: "), "\n", "; ")))
	var wrong *usageError
	if errors.As(err, &wrong) {
		fmt.Fprintln(a.err, "See batch help.")
	}
}
