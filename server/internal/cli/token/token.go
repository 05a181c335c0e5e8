// Package token contains the commands about access tokens and their revocation.
package token

import (
	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Token makes the command "token".
func Token(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "token",
		Short: "Get, inspect and revoke access tokens",
		Long: `A service sends an access token with each call. The token is signed by the server, is valid for
one target, and expires after some minutes.`,
		Example: `  watchword token get --as m1 --target m2
  watchword token get --as m1 --target m2 | watchword token inspect`,
	}
	group.AddCommand(tokenGet(c), tokenInspect(c), tokenRevoke(c))
	group.PersistentFlags().String("url", "", "`URL` of the public listener (default WATCHWORD_URL or http://127.0.0.1:8000)")
	return base.AsOperator(base.Group(group))
}
