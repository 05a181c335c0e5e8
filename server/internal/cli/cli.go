// Package cli is the command line of Watchword. It assembles the commands of the packages below it and
// runs one of them. A command is a function in the package of its noun, and a line in the table of
// this file.
package cli

import (
	"context"
	"io"
	"regexp"
	"strings"

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
	"github.com/watchword-dev/watchword/server/internal/cli/trust"
)

// operate is the group to which the commands that cobra adds belong, too.
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
		trust.Command,
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

// Run runs the command that args name and returns the exit code of the process: 0 if the command
// succeeded, 1 if it failed, 2 if args are wrong, and 3 if a plan has changes. It uses nothing of the
// process but its parameters.
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

// usageTemplate is cobra's for lines of 100 characters. It lists the flags that name the server as global ones of every
// command that has them, and not only of those that inherit them. The brackets of a flag whose value is optional
// have the name of the value, and not what it is without one.
func usageTemplate(cobras string) string {
	return strings.NewReplacer(
		"{{.LocalFlags.FlagUsages |", "{{if .HasPersistentFlags}}{{.LocalNonPersistentFlags.FlagUsagesWrapped 100 | optionalValues | trimTrailingWhitespaces}}"+
			"{{else}}{{.LocalFlags.FlagUsagesWrapped 100 | optionalValues | trimTrailingWhitespaces}}{{end}}{{\"\" |",
		"{{if .HasAvailableInheritedFlags}}", "{{if or .HasAvailablePersistentFlags .HasAvailableInheritedFlags}}",
		"{{.InheritedFlags.FlagUsages |", "{{if .HasPersistentFlags}}{{.PersistentFlags.FlagUsagesWrapped 100 | optionalValues | trimTrailingWhitespaces}}"+
			"{{else}}{{.InheritedFlags.FlagUsagesWrapped 100 | optionalValues | trimTrailingWhitespaces}}{{end}}{{\"\" |",
	).Replace(cobras)
}

// optionalValue matches what pflag writes of a flag whose value is optional.
var optionalValue = regexp.MustCompile(`(--[a-z-]+) ([A-Za-z]+)\[="[^"]*"\]`)

func init() {
	cobra.AddTemplateFunc("optionalValues", func(usages string) string {
		return optionalValue.ReplaceAllString(usages, "$1[=$2]")
	})
}

// Root makes the command "watchword" and all commands below it.
func Root(c *base.CLI) *cobra.Command {
	root := &cobra.Command{
		Use:   "watchword",
		Short: "Authorization server for services that call each other",
		Long: `Watchword issues short-lived signed tokens to services. It stores which service may call which,
and it publishes the keys with which every service verifies tokens itself.

This program is the server and its command-line client. A command prints its answer to standard
output and everything else to standard error. With --json the answer is JSON. The exit code is 0
if the command succeeded, 1 if it failed, and 2 if the command line is wrong. The commands plan,
test, probe, status and audit verify say in their help what else their exit code means.

Most commands call the operator API of the server. Its address is --admin-url, else the variable
WATCHWORD_ADMIN_URL, else http://127.0.0.1:8010. The operator token is read from the file named by
--admin-token-file or WATCHWORD_ADMIN_TOKEN_FILE, else from operator.token in the data folder,
which is --data, else WATCHWORD_DATA, else ./watchword-data.`,
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
	root.SetUsageTemplate(usageTemplate(root.UsageTemplate()))
	root.SetHelpCommandGroupID(operate)
	root.SetCompletionCommandGroupID(operate)
	base.Group(root)
	return root
}
