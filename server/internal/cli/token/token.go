// Package token has the commands about access tokens and their revocation.
package token

import (
	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Token makes the command "token".
func Token(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "token",
		Short: "Get, look into and revoke access tokens",
		Long: `Access tokens are what services show each other: short-lived, for one target, and signed
by this server.`,
		Example: `  watchword token get --as m1 --target m2
  watchword token get --as m1 --target m2 | watchword token inspect`,
	}
	group.AddCommand(tokenGet(c), tokenInspect(c), tokenRevoke(c))
	group.PersistentFlags().String("url", "", "the server's public listener (WATCHWORD_URL, else http://127.0.0.1:8000)")
	return base.AsOperator(base.Group(group))
}
