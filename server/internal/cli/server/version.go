package server

import (
	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/buildinfo"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Version makes the command "version".
func Version(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "version",
		Short: "Show the version of this program",
		Long: `Shows the version of this program, the commit it was built from, and whether its cryptography runs
in FIPS 140-3 mode. The version of a running server is shown by "watchword status".`,
		Example: `  watchword version
  watchword version --json`,
		Args: base.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			info := buildinfo.Read()
			if c.JSON {
				return c.PrintJSON(info)
			}
			fips := map[bool]string{true: "on", false: "off"}[info.FIPS]
			return c.PrintFields("version", info.Version, "commit", info.Commit, "date", base.Moment(info.Date),
				"go", info.Go, "platform", info.Platform, "FIPS 140-3", fips)
		},
	})
}
