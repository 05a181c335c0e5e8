package server

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
)

// Status makes the command "status".
func Status(c *base.CLI) *cobra.Command {
	return base.AsOperator(c.WithJSON(&cobra.Command{
		Use:   "status",
		Short: "Show whether the server is ready",
		Long: `Shows the version and the issuers of the server, and whether it is ready: whether its database,
its signing keys, its audit log and its clock work. It is "degraded" if something does not work
but tokens are issued, for example while the database is away. The exit code is 1 unless it is
ready. Trusts that need attention are shown first.`,
		Example: `  watchword status
  watchword status --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			state, err := admin.Ready(cmd.Context())
			if err != nil {
				return err
			}
			info, err := admin.Info(cmd.Context())
			if err != nil {
				return err
			}
			// Trusts that need attention are no problem of the server, and while it is degraded they may not be had.
			var attention []string
			if trusts, err := operator.Collect(admin.Trusts(cmd.Context())); err == nil {
				attention = platform.Attention(trusts...)
			}
			if c.JSON {
				answer := map[string]any{"ready": state.Status != "not ready", "status": state.Status, "info": info}
				if len(state.Problems) > 0 {
					answer["problems"] = state.Problems
				}
				if len(attention) > 0 {
					answer["attention"] = attention
				}
				err = c.PrintJSON(answer)
			} else {
				i := info
				if err := platform.PrintAttention(c, attention); err != nil {
					return err
				}
				err = c.PrintFields("ready", map[string]string{"ready": "yes", "degraded": "degraded", "not ready": "no"}[state.Status], "server", admin.URL(), "version", i.Version, "commit", i.Commit,
					"issuer", i.Issuer, "plain issuer", i.PlainIssuer, "database", i.Database,
					"algorithms", strings.Join(i.Algorithms, " "), "revision", fmt.Sprint(i.Revision))
			}
			if err != nil || len(state.Problems) == 0 {
				return err
			}
			var parts []string
			for _, name := range slices.Sorted(maps.Keys(state.Problems)) {
				parts = append(parts, name+": "+state.Problems[name])
			}
			return base.Next(fmt.Errorf("the server is %s: %s", state.Status, strings.Join(parts, "; ")), "See the log of the server.")
		},
	}))
}
