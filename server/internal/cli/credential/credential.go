// Package credential contains the commands about credentials of services.
package credential

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/operator"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/platform"
)

// Command makes the command "credential".
func Command(c *base.CLI) *cobra.Command {
	group := &cobra.Command{
		Use:   "credential",
		Short: "Manage the credentials of services",
		Long: `A service authenticates with a credential to get short-lived access tokens. There are seven kinds: a
bootstrap credential, which is a long-lived token; a client secret; a public key; a URL where the
service publishes its keys; a certificate; a name in certificates of a trusted authority; and claims
that a token of a platform must have, for which the service needs no secret (see "watchword trust").

A service may have several credentials of any kind. To replace one, create another, deploy it, and
revoke the first one when it is no longer used.`,
		Example: `  watchword credential create m1 --out m1.jwt
  watchword credential create m1 --kind key --out m1.jwk
  watchword credential list m1`,
	}
	group.AddCommand(credentialCreate(c), credentialList(c), credentialShow(c), credentialRotate(c), credentialRevoke(c))
	return base.AsOperator(base.Group(group))
}

func credentialList(c *base.CLI) *cobra.Command {
	var within string
	cmd := &cobra.Command{
		Use:   "list [SERVICE]",
		Short: "List credentials",
		Long: `Lists the credentials of a service, or of all services, with the time and the address of their
last use. The last column distinguishes credentials of one kind: it has the kid of a key, the
thumbprint of a certificate, the URL of published keys, the name in certificates, or the trust with
the claims of its tokens. Secrets are not shown.`,
		Example: `  watchword credential list
  watchword credential list m1 --json
  watchword credential list --expires-within 14d`,
		Args: base.AtMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			var seconds int64
			if within != "" {
				var err error
				if seconds, err = base.Seconds(cmd, "--expires-within", within); err != nil {
					return err
				}
				if seconds == 0 {
					return base.Usage(cmd, "--expires-within must be longer than 0, as in 14d")
				}
			}
			admin, err := c.Admin(cmd)
			if err != nil {
				return err
			}
			service := ""
			if len(args) == 1 {
				service = args[0]
			}
			all, err := operator.Collect(admin.CredentialsEnding(cmd.Context(), service, time.Duration(seconds)*time.Second))
			if err != nil {
				return base.UnknownService(err, service)
			}
			if c.JSON {
				return c.PrintJSON(map[string]any{"credentials": all})
			}
			rows := [][]string{{"ID", "SERVICE", "KIND", "STATUS", "EXPIRES", "LAST USED", "FROM", "NAME", "KEY OR NAME"}}
			for _, a := range all {
				cr := a
				rows = append(rows, []string{cr.ID, cr.Service, cr.Kind, cr.Status, base.Moment(cr.ExpiresAt), base.MomentOf(cr.LastUsedAt), cr.LastUsedFrom, cr.Name, which(cr)})
			}
			return c.PrintTable(rows)
		},
	}
	cmd.Flags().StringVar(&within, "expires-within", "", "only credentials that are not revoked and expire within this `time`, as in 14d")
	return c.WithJSON(cmd)
}

func credentialShow(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "show ID",
		Short: "Show a credential",
		Long: `Shows what the server stores about a credential. The secret is not stored, so that it cannot be
shown again.`,
		Example: `  watchword credential show 3f1c0a9e5b7d4286a1e0c3b5d7f90214
  watchword credential show 3f1c0a9e5b7d4286a1e0c3b5d7f90214 --json`,
		Args: base.Exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withCredential(c, cmd, args[0], (*operator.Client).Credential)
		},
	})
}

func credentialRevoke(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke a credential",
		Long: `Revokes a credential: the server refuses the next request with it. Introspection refuses the
access tokens that were issued for it, and tokens exchanged for those, at once. Services that
follow the deny-list refuse them within a second, and services that only verify signatures accept
them until they expire. Revoking a credential again changes nothing.`,
		Example: `  watchword credential revoke 3f1c0a9e5b7d4286a1e0c3b5d7f90214
  watchword credential revoke 3f1c0a9e5b7d4286a1e0c3b5d7f90214 --json`,
		Args: base.Exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withCredential(c, cmd, args[0], (*operator.Client).RevokeCredential)
		},
	})
}

type credentialCall func(*operator.Client, context.Context, string) (api.Credential, error)

// withCredential makes one request about a credential and prints the answer.
func withCredential(c *base.CLI, cmd *cobra.Command, id string, call credentialCall) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	a, err := call(admin, cmd.Context(), id)
	if err != nil {
		return base.UnknownCredential(err, id)
	}
	if c.JSON {
		return c.PrintJSON(a)
	}
	return printCredential(c, a)
}

// which distinguishes a credential from others of its kind.
func which(cr api.Credential) string {
	switch cr.Kind {
	case "key":
		return cr.KeyID
	case "certificate":
		return cr.Thumbprint
	}
	if cr.Kind == api.KindWorkload {
		return cr.Trust + ": " + platform.Claims(cr.Claims)
	}
	return cr.JWKSURI + cr.TLSSubject
}

func printCredential(c *base.CLI, cr api.Credential) error {
	return c.PrintFields("id", cr.ID, "service", cr.Service, "kind", cr.Kind, "name", cr.Name, "status", cr.Status, "network", cr.CIDR,
		"key id", cr.KeyID, "algorithm", cr.Algorithm, "thumbprint", cr.Thumbprint, "keys at", cr.JWKSURI, "tls subject", cr.TLSSubject,
		"trust", cr.Trust, "claims", platform.Claims(cr.Claims), "managed by", cr.ManagedBy,
		"created", base.Moment(cr.CreatedAt), "not before", base.MomentOf(cr.NotBefore), "expires", base.Moment(cr.ExpiresAt), "revoked", base.MomentOf(cr.RevokedAt),
		"last used", base.MomentOf(cr.LastUsedAt), "last used from", cr.LastUsedFrom)
}
