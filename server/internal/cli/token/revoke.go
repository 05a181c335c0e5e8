package token

import (
	"fmt"
	"io"
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
		Short: "Withdraw an access token before it expires",
		Long: `Withdraws one access token, and those it was exchanged for. The token is named by its jti,
which "watchword token inspect" and the audit log tell, or is on stdin; it goes to the
operator's listener and is written nowhere. Introspection refuses it at once, and who
follows the deny-list within a second; who only checks signatures takes it until it expires.
To withdraw all that a credential got, revoke the credential. To revoke again changes nothing.`,
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
				text, err := io.ReadAll(io.LimitReader(c.Stdin, 2*jose.MaxTokenSize))
				if err != nil {
					return fmt.Errorf("read the token from stdin: %w", err)
				}
				if n.Token = strings.TrimSpace(string(text)); n.Token == "" {
					return base.Usage(cmd, "a JTI, or a token on stdin, is missing")
				}
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			r, err := admin.RevokeToken(cmd.Context(), n)
			if base.StatusOf(err) == http.StatusUnprocessableEntity && n.Token != "" {
				return base.Next(err, "See what it is with: watchword token inspect")
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

// tokenAsArgument refuses a token where everybody could read it.
func tokenAsArgument(cmd *cobra.Command) error {
	return base.Usage(cmd, "a token is not taken as an argument, since everybody can read the arguments of a process: put it on stdin, as in: %s < FILE", cmd.CommandPath())
}

// Revocation makes the command "revocation".
func Revocation(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "revocation",
		Short: "What was withdrawn before its time",
		Long: `Tokens that were revoked one by one, and services that were deleted. They are remembered
as long as a token could hang on them. Revoked credentials and keys, and disabled services,
have their own lists.`,
		Example: `  watchword revocation list`,
	}
	group.AddCommand(revocationList(c))
	return base.AsOperator(base.Group(group))
}

func revocationList(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List revocations",
		Long: `Lists tokens that were revoked one by one, by their jti, and services that were deleted, by
their identity, with when that was and until when it is remembered.`,
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
