package server

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Status makes the command "status".
func Status(c *base.CLI) *cobra.Command {
	return base.AsOperator(c.WithJSON(&cobra.Command{
		Use:   "status",
		Short: "Ask whether the server can do its job",
		Long: `Shows which server this is and whether it is ready: whether database, signing keys and
audit log can do their part. It exits with 1 when not.`,
		Example: `  watchword status
  watchword status --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			problems, err := admin.Ready(cmd.Context())
			if err != nil {
				return err
			}
			info, err := admin.Info(cmd.Context())
			if err != nil {
				return err
			}
			ready := len(problems) == 0
			if c.JSON {
				answer := map[string]any{"ready": ready, "info": info}
				if !ready {
					answer["problems"] = problems
				}
				err = c.PrintJSON(answer)
			} else {
				i := info
				err = c.PrintFields("ready", map[bool]string{true: "yes", false: "no"}[ready], "server", admin.URL(), "version", i.Version, "commit", i.Commit,
					"issuer", i.Issuer, "plain issuer", i.PlainIssuer, "database", i.Database,
					"algorithms", strings.Join(i.Algorithms, " "), "revision", fmt.Sprint(i.Revision))
			}
			if err != nil || ready {
				return err
			}
			var parts []string
			for _, name := range slices.Sorted(maps.Keys(problems)) {
				parts = append(parts, name+": "+problems[name])
			}
			return base.Next(errors.New("the server is not ready: "+strings.Join(parts, "; ")), "Its log says more.")
		},
	}))
}
