package main

import (
	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/adminclient"
	"github.com/watchword-dev/watchword/internal/jose"
)

// ring is public keys of a server, for one use.
type ring struct {
	admin  *adminclient.Client
	server string
	set    *jose.KeySet
	// revoked are keys in set that were stolen.
	revoked []string
}

// ringKeys asks the operator's listener for the public keys of one use, also those it
// publishes nowhere. A revoked key verifies nothing, except of the audit log: what it signed
// before it was stolen cannot be signed again.
func (c *cli) ringKeys(cmd *cobra.Command, use string) (*ring, error) {
	admin, err := c.admin(cmd)
	if err != nil {
		return nil, err
	}
	all, err := admin.Keys(cmd.Context())
	if err != nil {
		return nil, err
	}
	r := &ring{admin: admin, server: admin.URL()}
	var keys []jose.PublicKey
	for _, a := range all {
		k := a.Value
		if k.Use != use || k.State == "revoked" && use != "audit" {
			continue
		}
		public, err := jose.ParseJWK(k.Public)
		if err != nil {
			return nil, err
		}
		if k.State == "revoked" {
			r.revoked = append(r.revoked, k.ID)
		}
		keys = append(keys, public)
	}
	r.set = jose.NewKeySet(keys...)
	return r, nil
}
