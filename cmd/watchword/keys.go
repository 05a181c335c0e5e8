package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/adminclient"
)

func (c *cli) keysCommand() *cobra.Command {
	group := &cobra.Command{
		Use:   "keys",
		Short: "The keys the server signs with",
		Long: `The key ring. The server replaces its keys by itself: the next key is published well
before it signs, and the one before stays published until its last token has expired.`,
		Example: `  watchword keys list
  watchword keys rotate`,
	}
	group.AddCommand(c.keysList(), c.keysRotate(), c.keysRevoke(), c.keysReseal())
	return asOperator(asGroup(group))
}

func (c *cli) keysList() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "list",
		Short: "List the key ring",
		Long: `Lists the keys: "next" is published and does not sign yet, "active" signs, "retiring"
no longer signs and is still published, "revoked" verifies nothing any more. Only keys for
access tokens are published; those for credentials and the audit log are this server's own.`,
		Example: `  watchword keys list --json`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			return c.printKeys(cmd, admin)
		},
	})
}

func (c *cli) printKeys(cmd *cobra.Command, admin *adminclient.Client) error {
	all, err := admin.Keys(cmd.Context())
	if err != nil {
		return err
	}
	if c.json {
		return c.printJSON(map[string]any{"keys": all})
	}
	rows := [][]string{{"ID", "USE", "ALGORITHM", "STATE", "CREATED", "SIGNS FROM", "RETIRED", "LEAVES"}}
	for _, a := range all {
		k := a.Value
		rows = append(rows, []string{k.ID, k.Use, k.Algorithm, k.State, moment(k.CreatedAt), momentOf(k.SignsFrom), momentOf(k.RetiredAt), momentOf(k.DropAt)})
	}
	return c.printTable(rows)
}

func (c *cli) keysRotate() *cobra.Command {
	var r adminclient.Rotation
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace a signing key",
		Long: `Makes the next key and publishes it; it signs once services had the time to fetch it
(keys.publish_lead), and then replaces the active one. With --now it signs at once: services
that fetched the keys before refuse its tokens until they fetch them again.`,
		Example: `  watchword keys rotate
  watchword keys rotate --algorithm EdDSA`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			if err := admin.RotateKeys(cmd.Context(), r); err != nil {
				return err
			}
			return c.printKeys(cmd, admin)
		},
	}
	cmd.Flags().StringVar(&r.Use, "use", "", "what the key is for: access, credential or audit (default access)")
	cmd.Flags().StringVar(&r.Algorithm, "algorithm", "", "ES256, RS256, PS256 or EdDSA (default: the server's)")
	cmd.Flags().BoolVar(&r.Now, "now", false, "sign with the new key at once")
	return c.withJSON(cmd)
}

func (c *cli) keysRevoke() *cobra.Command {
	return withConfirmation(c.withJSON(&cobra.Command{
		Use:   "revoke KID",
		Short: "Withdraw a stolen key",
		Long: `Withdraws a key at once: what it signed is no longer good, wherever services have
fetched the keys anew. When it was the active one another takes its place. It asks before,
or takes --yes where there is nobody to ask. For a key that is merely old, rotate.`,
		Example: `  watchword keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs`,
		Args:    exactly("KID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(cmd, fmt.Sprintf("Revoke key %s, and with it everything it signed?", args[0])); err != nil {
				return err
			}
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			err = admin.RevokeKey(cmd.Context(), args[0])
			if statusOf(err) == http.StatusNotFound {
				return next(fmt.Errorf("there is no key %q", args[0]), "List keys with: watchword keys list")
			}
			if err != nil {
				return err
			}
			return c.printKeys(cmd, admin)
		},
	}))
}

func (c *cli) keysReseal() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "reseal",
		Short: "Seal the keys under the current sealing key",
		Long: `Seals all private keys anew under the first key of the sealing key file. To replace the
sealing key, put a new line in front of the file (32 random bytes, base64), restart or wait
until it is read again, reseal, and then take the old line away.`,
		Example: `  watchword keys reseal`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			if err := admin.ResealKeys(cmd.Context()); err != nil {
				return err
			}
			return c.printKeys(cmd, admin)
		},
	})
}
