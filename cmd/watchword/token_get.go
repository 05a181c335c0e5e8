package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/adminclient"
	"github.com/watchword-dev/watchword/internal/jose"
)

func (c *cli) tokenGet() *cobra.Command {
	var as, target, file string
	var scopes []string
	cmd := &cobra.Command{
		Use:   "get (--as SERVICE | --credential-file FILE) --target SERVICE",
		Short: "Get an access token as a service would",
		Long: `Gets an access token from the public listener, as a service would, and prints it and
nothing else. The credential is that in --credential-file. With --as it is the one in
credentials/SERVICE.jwt in the data folder; where there is none the operator makes one that
lives five minutes, uses it and revokes it, all of which the audit log shows.`,
		Example: `  watchword token get --as m1 --target m2
  watchword token get --credential-file m1.jwt --target m2 --scope read
  curl -H "Authorization: Bearer $(watchword token get --as m1 --target m2)" http://localhost:8002/hello`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case target == "":
				return usage(cmd, "--target is missing")
			case as == "" && file == "":
				return usage(cmd, "--as or --credential-file is missing")
			case as != "" && file != "":
				return usage(cmd, "--as and --credential-file name two credentials")
			}
			if file == "" {
				stored := filepath.Join(c.settings(cmd).Data, "credentials", as+".jwt")
				if _, err := os.Stat(stored); err == nil && filepath.Base(as) == as {
					file = stored
				}
			}
			if file != "" {
				return c.printToken(cmd, client.File(file), target, scopes)
			}
			return c.tokenByOperator(cmd, as, target, scopes)
		},
	}
	cmd.Flags().StringVar(&as, "as", "", "service that calls")
	cmd.Flags().StringVar(&target, "target", "", "service that is called")
	cmd.Flags().StringArrayVar(&scopes, "scope", nil, "scope to ask for; repeat for more (default: all the rule has)")
	cmd.Flags().StringVar(&file, "credential-file", "", "file of the credential to use")
	return c.withJSON(cmd)
}

// tokenByOperator makes a credential for this one use.
func (c *cli) tokenByOperator(cmd *cobra.Command, as, target string, scopes []string) error {
	admin, err := c.admin(cmd)
	if err != nil {
		return err
	}
	issued, err := admin.IssueCredential(cmd.Context(), as, adminclient.NewCredential{Name: "watchword token get", TTLSeconds: 5 * 60})
	if err != nil {
		return unknownService(err, as)
	}
	defer func() {
		// Also when the command was interrupted.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 5*time.Second)
		defer cancel()
		id := issued.Value.Credential.Value.ID
		if _, err := admin.RevokeCredential(ctx, id); err != nil {
			c.say("warning: credential %s could not be revoked and lives for five minutes: %v", id, err)
		}
	}()
	return c.printToken(cmd, client.Static(issued.Value.Token), target, scopes)
}

func (c *cli) printToken(cmd *cobra.Command, credential client.CredentialSource, target string, scopes []string) error {
	server := c.publicURL(cmd)
	cl, err := client.New(client.Config{Server: server, Credential: credential, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	defer cl.Close()
	token, err := cl.TokenSource(target, scopes...).Token(cmd.Context())
	if err != nil {
		return explainToken(err)
	}
	if !c.json {
		_, err = fmt.Fprintln(c.stdout, token.Reveal())
		return err
	}
	lifetime, err := lifetimeOf(token.Reveal())
	if err != nil {
		return fmt.Errorf("read the token from %s: %w", server, err)
	}
	return c.printJSON(map[string]any{"accessToken": token.Reveal(), "expiresIn": int64(lifetime / time.Second)})
}

func lifetimeOf(token string) (time.Duration, error) {
	t, err := jose.Parse(token)
	if err != nil {
		return 0, err
	}
	claims, err := jose.ParseClaims(t.Payload)
	if err != nil {
		return 0, err
	}
	return claims.Expiry.Sub(claims.IssuedAt), nil
}

// explainToken adds what to do to the errors of the SDK.
func explainToken(err error) error {
	if denied, ok := errors.AsType[*client.DeniedError](err); ok {
		if denied.Code == "invalid_token" {
			return next(err, "The credential is expired, revoked or not of this server. See it with: watchword token inspect < FILE\nMake another with: watchword credential create SERVICE --out FILE")
		}
		return next(err, "The audit log says why: watchword audit tail")
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return next(err, "Is the server running? Start it with: watchword serve\nOr name its public listener with --url or WATCHWORD_URL.")
	case errors.Is(err, fs.ErrNotExist):
		return next(err, "Make a credential with: watchword credential create SERVICE --out FILE")
	case errors.Is(err, context.Canceled):
		return err
	}
	return next(err, "Name the server's public listener with --url or WATCHWORD_URL.")
}
