package main

import "github.com/spf13/cobra"

func (c *cli) tokenCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "token",
		Short: "Get, look into and revoke access tokens",
		Long: `Access tokens are what services show each other: short-lived, for one target, and signed
by this server.`,
		Example: `  watchword token get --as m1 --target m2
  watchword token get --as m1 --target m2 | watchword token inspect`,
	}
	group.AddCommand(c.tokenGet(), c.tokenInspect(), c.tokenRevoke())
	group.PersistentFlags().String("url", "", "the server's public listener (WATCHWORD_URL, else http://127.0.0.1:8000)")
	return asOperator(asGroup(group))
}
