// Package base contains what the commands share: the environment they run in, their output and errors,
// the files they write, and the connection to the operator API.
package base

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/config"
)

// CLI is the environment of a command.
type CLI struct {
	Environ        []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// AtEnd is called when the command has ended and all is said. Nil: nothing is.
	AtEnd func()

	JSON      bool   // reports whether --json was given
	tokenFile string // file of the operator token, for the message when the server refuses it
}

// Group makes of cmd a command that only contains others: it shows its help, and suggests a command
// if the one that was given does not exist.
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

// Exactly accepts as many arguments as there are names. The names are those in the Use line.
func Exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return Usage(cmd, "%s is missing", strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return Usage(cmd, "%q is one argument too many", Shown(args[len(names)]))
		}
		return nil
	}
}

// FlagError is the error of a flag that does not exist. The id of a key may begin with '-' (base64url) and
// then looks like flags.
func FlagError(cmd *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
		return Usage(cmd, "%v; write an argument that begins with '-' after --, as in: %s -- -x", err, cmd.CommandPath())
	}
	return Usage(cmd, "%v", err)
}

// AtMostOne accepts one argument or none.
func AtMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return Usage(cmd, "%q is one argument too many", Shown(args[1]))
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

// Say writes a message to stderr.
func (c *CLI) Say(format string, args ...any) {
	fmt.Fprintln(c.Stderr, Clean(fmt.Sprintf(format, args...))) // nobody is left to tell when it fails
}

// Day is the layout of a date, which stands for its beginning in UTC.
const Day = "2006-01-02"

// ParseMoment reads a date, or a time as in RFC 3339.
func ParseMoment(s string) (time.Time, error) {
	for _, layout := range []string{Day, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date: write 2027-01-01 or 2027-01-01T12:00:00Z", s)
}

// Seconds reads a duration as whole seconds, the unit of the operator API.
func Seconds(cmd *cobra.Command, flag, text string) (int64, error) {
	d, err := config.ParseDuration(text)
	if err != nil {
		return 0, Usage(cmd, "%s: %v", flag, err)
	}
	if d%time.Second != 0 {
		return 0, Usage(cmd, "%s: %s is not a whole number of seconds", flag, text)
	}
	return int64(d / time.Second), nil
}
