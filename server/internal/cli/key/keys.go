// Package key has the commands about the keys that the server signs with.
package key

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Command makes the command "keys".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "keys",
		Short: "The keys the server signs with",
		Long: `The key ring. The server replaces its keys by itself: the next key is published well
before it signs, and the one before stays published until its last token has expired.`,
		Example: `  watchword keys list
  watchword keys rotate`,
	}
	group.AddCommand(keysList(c), keysRotate(c), keysRevoke(c), keysReseal(c))
	return base.AsOperator(base.Group(group))
}

func keysList(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List the key ring",
		Long: `Lists the keys: "next" is published and does not sign yet, "active" signs, "retiring"
no longer signs and is still published, "revoked" verifies nothing any more. Only keys for
access tokens are published; those for credentials and the audit log are this server's own.`,
		Example: `  watchword keys list --json`,
		Args:    base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			all, err := admin.Keys(cmd.Context())
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(map[string]any{"keys": all})
			}
			rows := [][]string{{"ID", "USE", "ALGORITHM", "STATE", "CREATED", "SIGNS FROM", "RETIRED", "LEAVES"}}
			for _, k := range all {
				rows = append(rows, []string{k.ID, k.Use, k.Algorithm, k.State, base.Moment(k.CreatedAt), base.Moment(k.SignsFrom), base.MomentOf(k.RetiredAt), base.MomentOf(k.DropAt)})
			}
			return c.PrintTable(rows)
		},
	})
}

func keysRotate(c *base.CLI) *cobra.Command {
	var r api.KeyRotation
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace a signing key",
		Long: `Puts the next key in the place of the active one, once it was published long enough for
services to have fetched it (keys.publish_lead). With --now it signs at once: services that
have not fetched it yet refuse its tokens until they do.`,
		Example: `  watchword keys rotate
  watchword keys rotate --algorithm EdDSA`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			k, err := admin.RotateKeys(cmd.Context(), r)
			if base.StatusOf(err) == http.StatusNotFound {
				return base.Next(errors.New("no key of that use and algorithm signs, so there is none to replace"),
					"List keys with: watchword keys list\nA key is made when a service wants it: watchword service update NAME --algorithm ALGORITHM")
			}
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(k)
			}
			when := "now"
			if k.State == "next" {
				when = base.Moment(k.SignsFrom)
			}
			return c.Printf("key %s (%s) signs from %s", k.ID, k.Algorithm, when)
		},
	}
	cmd.Flags().StringVar(&r.Use, "use", "", "what the key is for: access, credential or audit (default access)")
	cmd.Flags().StringVar(&r.Algorithm, "algorithm", "", jose.List(jose.Algorithms())+" (default: the server's)")
	cmd.Flags().BoolVar(&r.Now, "now", false, "sign with the new key at once")
	return c.WithJSON(cmd)
}

func keysRevoke(c *base.CLI) *cobra.Command {
	return base.WithConfirmation(c.WithJSON(&cobra.Command{
		Use:   "revoke KID",
		Short: "Withdraw a stolen key",
		Long: `Withdraws a key at once: what it signed is no longer good. For an access key that is so
wherever services have fetched the keys anew; for a credential key, at the server at once,
and every service needs a new credential. When it was the active one another takes its place. It asks before,
or takes --yes where there is nobody to ask. For a key that is merely old, rotate.`,
		Example: `  watchword keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs`,
		Args:    base.Exactly("KID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.Confirm(cmd, fmt.Sprintf("Revoke key %s, and with it everything it signed? For a credential key these are all credentials made since it signs.", args[0])); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			k, err := admin.RevokeKey(cmd.Context(), args[0])
			if base.StatusOf(err) == http.StatusNotFound {
				return base.Next(fmt.Errorf("there is no key %q", args[0]), "List keys with: watchword keys list")
			}
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(k)
			}
			return c.Printf("revoked key %s", k.ID)
		},
	}))
}

func keysReseal(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "reseal",
		Short: "Seal the keys under the current sealing key",
		Long: `Reads the sealing key file again and seals all private keys under its first line. To
replace the sealing key, put a new line in front (32 random bytes, base64) in the file of
every replica, reseal, and then take the old line away.`,
		Example: `  watchword keys reseal`,
		Args:    base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			n, err := admin.ResealKeys(cmd.Context())
			if err != nil {
				return err
			}
			if c.JSON {
				return c.PrintJSON(n)
			}
			return c.Printf("sealed %d keys anew", n.Resealed)
		},
	})
}
