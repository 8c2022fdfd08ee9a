package main

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// destructive gives a command the flag --yes.
func (a *app) destructive(c *cobra.Command) *cobra.Command {
	c.Flags().BoolVarP(&a.yes, "yes", "y", false, "do not ask")
	return c
}

// confirm asks a question that can be answered with yes, unless the user has said so
// already. Where nobody can be asked, the answer is no.
func (a *app) confirm(ctx context.Context, format string, args ...any) error {
	if a.yes {
		return nil
	}
	if !isTerminal(a.in) {
		return fmt.Errorf("%w: there is no terminal to ask on, so say --yes", errNotConfirmed)
	}
	fmt.Fprintf(a.err, format+" [y/N] ", args...)
	answer := make(chan string, 1)
	go func() { // it ends with the process, if the user gives no answer
		line, _ := bufio.NewReader(a.in).ReadString('\n') // what was read before an error counts
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(a.err)
		return context.Cause(ctx)
	case said := <-answer:
		if said == "y" || said == "yes" {
			return nil
		}
		return errNotConfirmed
	}
}
