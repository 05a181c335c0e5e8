// Package base has what the commands share: the environment they run in, their output, their
// errors, and the connection to the operator API.
package base

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/config"
)

// CLI is what the commands share.
type CLI struct {
	Environ        []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// AtEnd is called when the command has ended and all is said. Nil: nothing is.
	AtEnd func()

	JSON      bool   // --json was given
	tokenFile string // of the operator token that was sent, for the message when it is refused
}

// Group has a command that only holds others show its help, or say which of them was meant.
func Group(group *cobra.Command) *cobra.Command {
	group.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return Usage(cmd, "%q is not a command; did you mean %s?", args[0], strings.Join(near, " or "))
		}
		return Usage(cmd, "%q is not a command", args[0])
	}
	group.SuggestionsMinimumDistance = 2
	group.DisableFlagsInUseLine = true
	group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return group
}

// Exactly has a command take these arguments, named as in its Use line.
func Exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return Usage(cmd, "%s is missing", strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return Usage(cmd, "%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// FlagError tells of a flag that there is not. The id of a key may begin with '-' (base64url) and
// be taken for flags.
func FlagError(cmd *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
		return Usage(cmd, "%v; an argument that begins with '-' goes after --, as in: %s -- -x", err, cmd.CommandPath())
	}
	return Usage(cmd, "%v", err)
}

// AtMostOne has a command take one argument or none.
func AtMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return Usage(cmd, "%q is one argument too many", args[1])
	}
	return nil
}

// WithJSON gives a command the --json flag.
func (c *CLI) WithJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.JSON, "json", false, "print the answer as JSON")
	return cmd
}

// Getenv returns the value of an environment variable, or "".
func (c *CLI) Getenv(name string) string {
	for _, kv := range c.Environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// Say writes to stderr what is not the answer.
func (c *CLI) Say(format string, args ...any) {
	fmt.Fprintln(c.Stderr, Clean(fmt.Sprintf(format, args...))) // nobody is left to tell when it fails
}

// Day is how people write the moment a day begins, in UTC.
const Day = "2006-01-02"

// ParseMoment reads a day or an RFC 3339 time.
func ParseMoment(s string) (time.Time, error) {
	for _, layout := range []string{Day, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date: write 2027-01-01 or 2027-01-01T12:00:00Z", s)
}

// Seconds reads a duration for the API, which counts in seconds.
func Seconds(cmd *cobra.Command, flag, text string) (int64, error) {
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, Usage(cmd, "%s: %v", flag, err)
	}
	if d%time.Second != 0 {
		return 0, Usage(cmd, "%s: %s is not whole seconds", flag, text)
	}
	return int64(d / time.Second), nil
}
