package server

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"

	"github.com/watchword-dev/watchword/server/internal/app"
)

// Version makes the command "version".
func Version(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Long:    `Shows the version of this program. That of a running server is shown by "watchword status".`,
		Example: `  watchword version`,
		Args:    base.Exactly(),
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if c.JSON {
				return c.PrintJSON(map[string]string{"version": app.Version(), "go": runtime.Version(), "platform": platform})
			}
			return c.Printf("watchword %s (%s, %s)", app.Version(), runtime.Version(), platform)
		},
	})
}
