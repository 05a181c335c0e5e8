package token

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

func tokenRevoke(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "revoke [JTI]",
		Short: "Revoke an access token",
		Long: `Revokes an access token and the tokens for which it was exchanged. Give the jti of the token,
which "watchword token inspect" and the audit log show, or the token on standard input.
Introspection refuses the token at once. Services that follow the deny-list refuse it within a
second, and services that only verify signatures accept it until it expires. Revoking a token
again changes nothing. To revoke all tokens that were issued for a credential, revoke the
credential.`,
		Example: `  watchword token revoke 5f1e2d3c4b5a69788796a5b4c3d2e1f0
  watchword token revoke < token`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && strings.Contains(args[0], ".") {
				return tokenAsArgument(cmd)
			}
			return base.AtMostOne(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var n api.NewRevocation
			if len(args) == 1 && args[0] != "-" {
				n.JTI = args[0]
			} else {
				text, err := c.ReadToken(cmd.Context(), 2*jose.MaxTokenSize)
				if err != nil {
					return fmt.Errorf("read the token from standard input: %w", err)
				}
				if n.Token = strings.TrimSpace(string(text)); n.Token == "" {
					return base.Usage(cmd, "a JTI, or a token on standard input, is missing")
				}
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			r, err := admin.RevokeToken(cmd.Context(), n)
			if base.StatusOf(err) == http.StatusUnprocessableEntity && n.Token != "" {
				return base.Next(err, "See what the token contains with: watchword token inspect")
			}
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(r)
			}
			return c.Printf("revoked token %s", r.ID)
		},
	})
}

// tokenAsArgument refuses a token as an argument, which every user of the machine can read.
func tokenAsArgument(cmd *cobra.Command) error {
	return base.Usage(cmd, "a token must not be an argument, since every user of the machine can read it there: write it to standard input, as in: %s < FILE", cmd.CommandPath())
}

// Revocation makes the command "revocation".
func Revocation(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "revocation",
		Short: "List revoked tokens and deleted services",
		Long: `The server stores the revocation of a token, and the deletion of a service, as long as a valid
token could depend on it. Revoked credentials, revoked keys and disabled services are shown by
"watchword credential list", "watchword keys list" and "watchword service list".`,
		Example: `  watchword revocation list`,
	}
	group.AddCommand(revocationList(c))
	return base.AsOperator(base.Group(group))
}

func revocationList(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List revoked tokens and deleted services",
		Long: `Lists the jti of revoked tokens and the uid of deleted services, with the time of the revocation,
and the time until which the server stores it.`,
		Example: `  watchword revocation list
  watchword revocation list --json`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			all, err := operator.Collect(admin.Revocations(cmd.Context()))
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(map[string]any{"revocations": all})
			}
			rows := [][]string{{"ID", "KIND", "REVOKED", "UNTIL"}}
			for _, a := range all {
				r := a
				rows = append(rows, []string{r.ID, r.Kind, base.Moment(r.RevokedAt), base.Moment(r.Until)})
			}
			return c.PrintTable(rows)
		},
	})
}
