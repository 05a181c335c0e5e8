package main

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/server/internal/operator"
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
		},
	})
}

func (c *cli) keysRotate() *cobra.Command {
	var r operator.Rotation
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace a signing key",
		Long: `Puts the next key in the place of the active one, once it was published long enough for
services to have fetched it (keys.publish_lead). With --now it signs at once: services that
have not fetched it yet refuse its tokens until they do.`,
		Example: `  watchword keys rotate
  watchword keys rotate --algorithm EdDSA`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			k, err := admin.RotateKeys(cmd.Context(), r)
			if statusOf(err) == http.StatusNotFound {
				return next(errors.New("no key of that use and algorithm signs, so there is none to replace"),
					"List keys with: watchword keys list\nA key is made when a service wants it: watchword service update NAME --algorithm ALGORITHM")
			}
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(k)
			}
			when := "now"
			if k.Value.State == "next" {
				when = momentOf(k.Value.SignsFrom)
			}
			return c.printf("key %s (%s) signs from %s", k.Value.ID, k.Value.Algorithm, when)
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
		Long: `Withdraws a key at once: what it signed is no longer good. For an access key that is so
wherever services have fetched the keys anew; for a credential key, at the server at once,
and every service needs a new credential. When it was the active one another takes its place. It asks before,
or takes --yes where there is nobody to ask. For a key that is merely old, rotate.`,
		Example: `  watchword keys revoke NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs`,
		Args:    exactly("KID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.confirm(cmd, fmt.Sprintf("Revoke key %s, and with it everything it signed? For a credential key these are all credentials made since it signs.", args[0])); err != nil {
				return err
			}
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			k, err := admin.RevokeKey(cmd.Context(), args[0])
			if statusOf(err) == http.StatusNotFound {
				return next(fmt.Errorf("there is no key %q", args[0]), "List keys with: watchword keys list")
			}
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(k)
			}
			return c.printf("revoked key %s", k.Value.ID)
		},
	}))
}

func (c *cli) keysReseal() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "reseal",
		Short: "Seal the keys under the current sealing key",
		Long: `Reads the sealing key file again and seals all private keys under its first line. To
replace the sealing key, put a new line in front (32 random bytes, base64) in the file of
every replica, reseal, and then take the old line away.`,
		Example: `  watchword keys reseal`,
		Args:    exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := c.admin(cmd)
			if err != nil {
				return err
			}
			n, err := admin.ResealKeys(cmd.Context())
			if err != nil {
				return err
			}
			if c.json {
				return c.printJSON(n)
			}
			return c.printf("sealed %d keys anew", n.Value.Resealed)
		},
	})
}
