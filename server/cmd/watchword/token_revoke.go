package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/operator"
)

func (c *cli) tokenRevoke() *cobra.Command {
	return c.withJSON(&cobra.Command{
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
			return atMostOne(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var n operator.NewRevocation
			if len(args) == 1 && args[0] != "-" {
				n.JTI = args[0]
			} else {
				text, err := io.ReadAll(io.LimitReader(c.stdin, 2*jose.MaxTokenSize))
				if err != nil {
					return fmt.Errorf("read the token from stdin: %w", err)
				}
				if n.Token = strings.TrimSpace(string(text)); n.Token == "" {
					return usage(cmd, "a JTI, or a token on stdin, is missing")
				}
			}
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			r, err := admin.RevokeToken(cmd.Context(), n)
			if statusOf(err) == http.StatusUnprocessableEntity && n.Token != "" {
				return next(err, "See what it is with: watchword token inspect")
			}
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(r)
			}
			return c.printf("revoked token %s", r.Value.ID)
		},
	})
}

// tokenAsArgument refuses a token where everybody could read it.
func tokenAsArgument(cmd *cobra.Command) error {
	return usage(cmd, "a token is not taken as an argument, since everybody can read the arguments of a process: put it on stdin, as in: %s < FILE", cmd.CommandPath())
}

func (c *cli) revocationCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "revocation",
		Short: "What was withdrawn before its time",
		Long: `Tokens that were revoked one by one, and services that were deleted. They are remembered
as long as a token could hang on them. Revoked credentials and keys, and disabled services,
have their own lists.`,
		Example: `  watchword revocation list`,
	}
	group.AddCommand(c.revocationList())
	return asOperator(asGroup(group))
}

func (c *cli) revocationList() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "list",
		Short: "List revocations",
		Long: `Lists tokens that were revoked one by one, by their jti, and services that were deleted, by
their identity, with when that was and until when it is remembered.`,
		Example: `  watchword revocation list
  watchword revocation list --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			all, err := admin.Revocations(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(map[string]any{"revocations": all})
			}
			rows := [][]string{{"ID", "KIND", "REVOKED", "UNTIL"}}
			for _, a := range all {
				r := a.Value
				rows = append(rows, []string{r.ID, r.Kind, moment(r.RevokedAt), moment(r.Until)})
			}
			return c.printTable(rows)
		},
	})
}
