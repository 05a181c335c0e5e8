package credential

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

func credentialRotate(c *base.CLI) *cobra.Command {
	var overlap, out string
	cmd := &cobra.Command{
		Use:   "rotate ID",
		Short: "Replace a secret or a bootstrap credential",
		Long: `Creates a credential with the kind, the name, the network and the lifetime of the one that ID
names. The old credential expires when --overlap has passed since the new one was first used:
deploy the new one before you use it elsewhere. Tokens that were issued for the old one remain valid
until they expire. While both are valid, neither can be replaced: revoke the one that is not used.

If a credential has leaked, revoke it instead. To replace a key or a certificate, create another
one and revoke the first.`,
		Example: `  watchword credential rotate 3f1c0a9e5b7d4286a1e0c3b5d7f90214 --out m1-new.secret
  watchword credential rotate 3f1c0a9e5b7d4286a1e0c3b5d7f90214 --overlap 1d --out m1-new.jwt`,
		Args: base.Exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			n, err := base.Seconds(cmd, "--overlap", overlap)
			if err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			return issueSecret(c, cmd.Context(), admin, out, func(ctx context.Context) (api.RotatedCredential, error) {
				issued, err := admin.RotateCredential(ctx, args[0], api.CredentialRotation{OverlapSeconds: &n})
				return issued, base.UnknownCredential(base.PerhapsIssued(err), args[0])
			})
		},
	}
	cmd.Flags().StringVar(&overlap, "overlap", "1h", "`time` for which the old credential remains valid after the first use of the new one, as in 1h, 7d or 0s")
	cmd.Flags().StringVar(&out, "out", "", "write the new credential to this new `file`, which only you can read")
	return c.WithJSON(cmd)
}
