// Package cli is the command line of Watchword: it puts the commands of the packages below it
// together and runs one of them. A command is a function in the package of its noun, and a
// line in the table of this file.
package cli

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/audit"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/callmap"
	"github.com/watchword-dev/watchword/server/internal/cli/credential"
	"github.com/watchword-dev/watchword/server/internal/cli/explain"
	"github.com/watchword-dev/watchword/server/internal/cli/key"
	"github.com/watchword-dev/watchword/server/internal/cli/probe"
	"github.com/watchword-dev/watchword/server/internal/cli/rule"
	"github.com/watchword-dev/watchword/server/internal/cli/server"
	"github.com/watchword-dev/watchword/server/internal/cli/service"
	"github.com/watchword-dev/watchword/server/internal/cli/token"
)

// operate is the group that also has the commands which cobra adds.
const operate = "Operate"

// commands are all commands, in the groups in which "watchword --help" lists them.
var commands = []struct {
	group string
	make  []func(*base.CLI) *cobra.Command
}{
	{"Run the server", []func(*base.CLI) *cobra.Command{
		server.Serve,
		server.Demo,
		server.Config,
		server.Version,
	}},
	{"Services and credentials", []func(*base.CLI) *cobra.Command{
		service.Command,
		credential.Command,
	}},
	{"Who may call whom", []func(*base.CLI) *cobra.Command{
		rule.Allow,
		rule.Disallow,
		rule.Rules,
		callmap.Plan,
		callmap.Apply,
		callmap.Test,
		callmap.CallMap,
	}},
	{"Ask why", []func(*base.CLI) *cobra.Command{
		explain.Why,
		explain.Blast,
		explain.Graph,
		explain.Impact,
		explain.Unused,
		explain.Suggest,
	}},
	{"Tokens and keys", []func(*base.CLI) *cobra.Command{
		token.Token,
		token.Revocation,
		key.Command,
	}},
	{operate, []func(*base.CLI) *cobra.Command{
		server.Status,
		server.OperatorToken,
		audit.Command,
		probe.Command,
	}},
}

// Run runs the command that args name and returns the exit code of the process: 0 when the
// command did what it was told, 1 when it failed, 2 when args make no sense, and 3 when a plan
// has changes. It reads nothing of the process but what it is given.
func Run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := &base.CLI{Environ: environ, Stdin: stdin, Stdout: stdout, Stderr: stderr}
	root := Root(c)
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	defer func() {
		if c.AtEnd != nil {
			c.AtEnd()
		}
	}()
	if err := root.ExecuteContext(ctx); err != nil {
		return c.Fail(err)
	}
	return 0
}

// Root is the command "watchword" with all others below it.
func Root(c *base.CLI) *cobra.Command {
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
	root.SetFlagErrorFunc(base.FlagError)
	for _, g := range commands {
		root.AddGroup(&cobra.Group{ID: g.group, Title: g.group + ":"})
		for _, constructor := range g.make {
			cmd := constructor(c)
			cmd.GroupID = g.group
			root.AddCommand(cmd)
		}
	}
	root.SetHelpCommandGroupID(operate)
	root.SetCompletionCommandGroupID(operate)
	base.Group(root)
	return root
}
