package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// cli is what the commands share.
type cli struct {
	environ        []string
	stdin          io.Reader
	stdout, stderr io.Writer

	json      bool
	tokenFile string // of the operator token that was sent, for the message when it is refused
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "watchword",
		Short: "Lets services prove to each other who they are",
		Long: `Watchword issues short-lived signed tokens to services, keeps the map of who may
call whom, and publishes the keys with which every service checks a token by itself.

This program is the server and the commands of its operator. Commands print the
answer on stdout and everything else on stderr; with --json the answer is JSON.
They exit with 0 when done, 1 when that failed, and 2 when the command line is wrong.

The commands that ask the server find it at WATCHWORD_ADMIN_URL, which is
http://127.0.0.1:8010 otherwise, and the operator token in the data folder
(WATCHWORD_DATA, or ./watchword-data) or in the file WATCHWORD_ADMIN_TOKEN_FILE.`,
		Example: `  watchword serve
  watchword service create m1
  watchword service create m2
  watchword credential create m1 --out m1.jwt
  watchword allow m1 m2
  watchword token get --as m1 --target m2`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		c.serveCommand(), c.demoCommand(),
		c.serviceCommand(), c.credentialCommand(), c.allowCommand(), c.disallowCommand(), c.rulesCommand(), c.keysCommand(),
		c.planCommand(), c.applyCommand(), c.testCommand(), c.callMapCommand(),
		c.whyCommand(), c.blastCommand(), c.graphCommand(), c.unusedCommand(), c.impactCommand(), c.suggestCommand(),
		c.tokenCommand(), c.revocationCommand(), c.auditCommand(), c.probeCommand(), c.statusCommand(), c.configCommand(), c.versionCommand(),
	)
	asGroup(root)
	return root
}

// asGroup has a command that only holds others show its help, or say which of them was meant.
func asGroup(group *cobra.Command) *cobra.Command {
	group.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			return usage(cmd, "%q is not a command; did you mean %s?", args[0], strings.Join(near, " or "))
		}
		return usage(cmd, "%q is not a command", args[0])
	}
	group.SuggestionsMinimumDistance = 2
	group.DisableFlagsInUseLine = true
	group.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
	return group
}

// exactly has a command take these arguments, named as in its Use line.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return usage(cmd, "%s is missing", strings.Join(names[len(args):], " and "))
		case len(args) > len(names):
			return usage(cmd, "%q is one argument too many", args[len(names)])
		}
		return nil
	}
}

// flagError tells of a flag that there is not. The id of a key may begin with '-' (base64url) and
// be taken for flags.
func flagError(cmd *cobra.Command, err error) error {
	if strings.HasPrefix(err.Error(), "unknown shorthand flag") {
		return usage(cmd, "%v; an argument that begins with '-' goes after --, as in: %s -- -x", err, cmd.CommandPath())
	}
	return usage(cmd, "%v", err)
}

// atMostOne has a command take one argument or none.
func atMostOne(cmd *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usage(cmd, "%q is one argument too many", args[1])
	}
	return nil
}

// withJSON gives a command the --json flag.
func (c *cli) withJSON(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&c.json, "json", false, "print the answer as JSON")
	return cmd
}

func (c *cli) env(name string) string {
	for _, kv := range c.environ {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// say writes one line of conversation.
func (c *cli) say(format string, args ...any) {
	fmt.Fprintf(c.stderr, format+"\n", args...) // nobody is left to tell when it fails
}

// day is how people write the moment a day begins, in UTC.
const day = "2006-01-02"

// parseMoment reads a day or an RFC 3339 time.
func parseMoment(s string) (time.Time, error) {
	for _, layout := range []string{day, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is not a date: write 2027-01-01 or 2027-01-01T12:00:00Z", s)
}
