// Package key contains the commands about the keys with which the server signs.
package key

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Command makes the command "keys".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "keys",
		Short: "Manage the signing keys of the server",
		Long: `The server replaces its signing keys by itself. It publishes a new key before the key signs, and a
replaced key until the last token that it signed has expired.`,
		Example: `  watchword keys list
  watchword keys rotate`,
	}
	group.AddCommand(keysList(c), keysRotate(c), keysRevoke(c), keysReseal(c))
	return base.AsOperator(base.Group(group))
}

func keysList(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "list",
		Short: "List the signing keys",
		Long: `Lists the signing keys with their state. A key that is "next" does not sign yet, one that is
"active" signs, one that is "retiring" no longer signs but still verifies, and one that is
"revoked" does neither. Only the keys of access tokens are published. The keys of credentials and
of the audit log are used by the server alone.`,
		Example: `  watchword keys list
  watchword keys list --json`,
		Args: base.Exactly(),
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
			rows := [][]string{{"ID", "USE", "ALGORITHM", "STATE", "CREATED", "SIGNS FROM", "RETIRED", "REMOVED AT"}}
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
		Long: `Replaces the active key by the next one as soon as that was published for the time of the setting
keys.publish_lead, so that services have fetched it. With --now the next key signs at once, and
services refuse its tokens until they fetch the key.`,
		Example: `  watchword keys rotate
  watchword keys rotate --algorithm EdDSA`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for flag, list := range map[string][]api.Name{"use": api.KeyUses(), "algorithm": api.Algorithms()} {
				if text := cmd.Flag(flag).Value.String(); text != "" {
					if _, err := base.NameOf(cmd, "--"+flag, list, text); err != nil {
						return err
					}
				}
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			k, err := admin.RotateKeys(cmd.Context(), r)
			if base.StatusOf(err) == http.StatusNotFound {
				return base.Next(errors.New("there is no active key of that use and algorithm"),
					"List the keys with: watchword keys list\nThe server creates a key for an algorithm when a service uses it: watchword service update NAME --algorithm ALGORITHM")
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
	cmd.Flags().StringVar(&r.Use, "use", "", "`use` of the key: "+base.Names(api.KeyUses())+" (default access)")
	cmd.Flags().StringVar(&r.Algorithm, "algorithm", "", "`algorithm` of the key: "+base.Names(api.Algorithms())+" (default the one of the setting signing.algorithm)")
	cmd.Flags().BoolVar(&r.Now, "now", false, "let the next key sign at once")
	return c.WithJSON(cmd)
}

func keysRevoke(c *base.CLI) *cobra.Command {
	return base.WithConfirmation(c.WithJSON(&cobra.Command{
		Use:   "revoke KID",
		Short: "Revoke a stolen key",
		Long: `Revokes a key: everything that it signed becomes invalid. Services refuse the tokens of an access
key once they have fetched the keys again. The server refuses the bootstrap credentials of a
credential key at once, and the services need new ones. If the key was active, another takes its
place. The command asks for confirmation; without a terminal it requires --yes. To replace a key
that is not stolen, use "watchword keys rotate".`,
		Example: `  watchword keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs
  watchword keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs --yes`,
		Args: base.Exactly("KID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.Confirm(cmd, fmt.Sprintf("Revoke key %s and everything that it signed? For a credential key this includes all bootstrap credentials that it signed.", args[0])); err != nil {
				return err
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			k, err := admin.RevokeKey(cmd.Context(), args[0])
			if base.StatusOf(err) == http.StatusNotFound {
				return base.Next(fmt.Errorf("there is no key %q", args[0]), "List the keys with: watchword keys list")
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
		Short: "Encrypt the stored keys with another sealing key",
		Long: `Reads the file of the sealing key again, and encrypts all stored private keys with its first line.
To replace the sealing key, insert a new first line (32 random bytes in base64) in the file of
every replica, run this command, and then remove the old line.`,
		Example: `  watchword keys reseal
  watchword keys reseal --json`,
		Args: base.Exactly(),
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
			return c.Printf("encrypted %d keys again", n.Resealed)
		},
	})
}
