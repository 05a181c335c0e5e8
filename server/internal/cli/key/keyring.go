package key

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/shell"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// Ring is the public keys of one use, read from a server or from a file.
type Ring struct {
	Set *jose.KeySet
	// Revoked has the ids of the keys in Set that are revoked.
	Revoked []string
}

// usable returns the public keys of one use. A revoked key verifies nothing but the audit log, whose old
// records cannot be signed again.
func usable(all []api.Key, use string) (*Ring, error) {
	var p Ring
	var keys []jose.PublicKey
	for _, k := range all {
		if k.Use != use || k.State == "revoked" && use != "audit" {
			continue
		}
		raw, err := json.Marshal(k.Public)
		if err != nil {
			return nil, err
		}
		public, err := jose.ParseJWK(raw)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, err)
		}
		if k.State == "revoked" {
			p.Revoked = append(p.Revoked, k.ID)
		}
		keys = append(keys, public)
	}
	p.Set = jose.NewKeySet(keys...)
	return &p, nil
}

// OfServer reads the keys of one use from the operator API, which also has the keys that are not
// published.
func OfServer(c *base.CLI, cmd *cobra.Command, use string) (*operator.Client, *Ring, error) {
	admin, err := c.Admin(cmd)
	if err != nil {
		return nil, nil, err
	}
	all, err := admin.Keys(cmd.Context())
	if err != nil {
		return nil, nil, err
	}
	keys, err := usable(all, use)
	return admin, keys, err
}

// OfFile reads the keys of the audit log from a file with the output of "keys list --json", or with a JWK
// Set.
func OfFile(name string) (*Ring, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("read the keys: %w", base.PathError(err))
	}
	var list struct {
		Keys []api.Key `json:"keys"`
	}
	if json.Unmarshal(text, &list) == nil {
		keys, err := usable(list.Keys, "audit")
		if err != nil {
			return nil, fmt.Errorf("read the keys in %s: %w", name, err)
		}
		if len(keys.Set.Keys()) > 0 {
			return keys, nil
		}
	}
	set, err := jose.ParseKeySet(text)
	if err != nil {
		return nil, fmt.Errorf("read the keys in %s: %w", name, err)
	}
	if len(set.Keys()) == 0 {
		return nil, base.Next(fmt.Errorf("%s contains no key of the audit log", name), "While the server runs, write the file with: %s > %s",
			shell.Command("watchword", "keys", "list", "--json"), shell.Quote(name))
	}
	return &Ring{Set: set}, nil
}
