package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/app"
)

func (c *cli) versionCommand() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Long:    `Shows the version of this program. That of a running server is shown by "watchword status".`,
		Example: `  watchword version`,
		Args:    exactly(),
		RunE: func(*cobra.Command, []string) error {
			platform := runtime.GOOS + "/" + runtime.GOARCH
			if c.json {
				return c.printJSON(map[string]string{"version": app.Version(), "go": runtime.Version(), "platform": platform})
			}
			return c.printf("watchword %s (%s, %s)", app.Version(), runtime.Version(), platform)
		},
	})
}
