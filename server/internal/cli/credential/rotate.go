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
		Short: "Make a credential in the place of another",
		Long: `Makes a secret or a bootstrap credential like the one there is, with its name, its network
and as long a life, and lets that one end after the overlap: put the new one in place
meanwhile. Tokens got with the old one stay good until they expire. To withdraw what leaked,
revoke it instead. Of one service, kind and name two can be good at once, not three. Keys
and certificates are replaced by making another, and revoking the first.`,
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
				return issued, base.UnknownCredential(err, args[0])
			})
		},
	}
	cmd.Flags().StringVar(&overlap, "overlap", "1h", "how long the old one stays good, as in 1h or 7d; 0s: not at all")
	cmd.Flags().StringVar(&out, "out", "", "write it to this new file, readable by you alone")
	return c.WithJSON(cmd)
}
