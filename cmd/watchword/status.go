package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func (c *cli) statusCommand() *cobra.Command {
	return asOperator(c.withJSON(&cobra.Command{
		Use:   "status",
		Short: "Ask whether the server can do its job",
		Long: `Shows which server this is and whether it is ready: whether database, signing keys and
audit log can do their part. It exits with 1 when not.`,
		Example: `  watchword status
  watchword status --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			ready, why, err := admin.Ready(cmd.Context())
			if err != nil {
				return err
			}
			info, err := admin.Info(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				err = c.printJSON(map[string]any{"ready": ready, "info": info})
			} else {
				i := info.Value
				err = c.printFields("ready", map[bool]string{true: "yes", false: "no"}[ready], "server", admin.URL(), "version", i.Version,
					"issuer", i.Issuer, "plain issuer", i.PlainIssuer, "database", i.Database,
					"algorithms", strings.Join(i.Algorithms, " "), "revision", fmt.Sprint(i.Revision))
			}
			if err != nil || ready {
				return err
			}
			return next(errors.New("the server is not ready: "+why), "Its log says why.")
		},
	}))
}
