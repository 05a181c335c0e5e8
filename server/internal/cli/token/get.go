package token

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/api"
	"github.com/watchword-dev/watchword/client"
	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
)

// wanted is the token that is requested.
type wanted struct {
	target, resource string
	scopes           []string
	exchange         string // file of the token to exchange
	impersonate      bool
}

func tokenGet(c *base.CLI) *cobra.Command {
	var p proof
	var w wanted
	cmd := &cobra.Command{
		Use:   "get (--as SERVICE | --credential-file F | --token-file F) --target SERVICE",
		Short: "Get an access token as a service",
		Long: `Requests an access token as a service does, and prints it.

The token comes from POST /accesstoken if the service authenticates with a bootstrap credential:
the one in --credential-file, or with --as the one in credentials/SERVICE.jwt in the data folder.
If that file does not exist, the command uses the operator API to create a credential that expires
after half a minute.

A service for which its platform vouches needs no secret: --token-file, or the variable
WATCHWORD_TOKEN_FILE, names the file into which Kubernetes or another platform writes its token.
In a job of GitHub Actions with "permissions: id-token: write", the command asks GitHub for a
token if neither such a file nor --as is given. --as, or WATCHWORD_CLIENT_ID, names the service
if the token could be that of several. WATCHWORD_AUDIENCE is the audience to ask GitHub for
(default the issuer). If there is no token, the command fails, and uses no secret instead.

The token comes from POST /oauth2/token if --method, --resource, --exchange or a file of another
kind of credential is given. --url is then the issuer URL of the server, and its default is the
setting issuer. With --exchange the command exchanges the token in that file ("-" is standard
input): the new token has the same subject, and names --as as the actor.`,
		Example: `  watchword token get --as m1 --target m2
  watchword token get --credential-file m1.jwt --target m2 --scope read
  watchword token get --as m1 --secret-file m1.secret --target m2
  watchword token get --token-file /var/run/secrets/watchword/token --target m2
  watchword token get --as m1 --key-file m1.jwk --dpop-key-file dpop.jwk --target m2
  watchword token get --as m1 --key-file m1.jwk --resource https://orders.example.com
  watchword token get --as m1 --method tls_client_auth --cert-file c.pem --key-file k --target m2
  watchword token get --as m2 --key-file m2.jwk --exchange incoming.jwt --target m3
  curl -H "Authorization: Bearer $(watchword token get --as m1 --target m2)" localhost:8002/hello`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			var err error
			if w.scopes, err = base.Scopes(cmd, w.scopes); err != nil {
				return err
			}
			if err := p.check(c, cmd); err != nil {
				return err
			}
			if (w.resource != "" || w.exchange != "") && p.method == "" {
				p.method = "bootstrap" // only POST /oauth2/token has both
			}
			switch {
			case p.method != "" && p.method != "bootstrap":
				return printToken(c, cmd, &p, nil, w)
			case p.as == "" && p.credentialFile == "":
				return base.Usage(cmd, "--as, --credential-file or --token-file is missing")
			}
			file := p.credentialFile
			if file == "" {
				stored := filepath.Join(c.Settings(cmd).Data, "credentials", p.as+".jwt")
				if _, err := os.Stat(stored); err == nil && filepath.Base(p.as) == p.as {
					file = stored
				}
			}
			if file != "" {
				return printToken(c, cmd, &p, client.File(file), w)
			}
			return tokenByOperator(c, cmd, &p, w)
		},
	}
	p.define(cmd)
	w.define(cmd)
	return c.WithJSON(cmd)
}

func (w *wanted) define(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&w.target, "target", "", "`service` that is called")
	flags.StringVar(&w.resource, "resource", "", "absolute `URI` of the service that is called, instead of --target")
	flags.StringArrayVar(&w.scopes, "scope", nil, "`scope` to request; may be repeated (default all scopes of the rule)")
	flags.StringVar(&w.exchange, "exchange", "", "`file` with an access token to exchange")
	flags.BoolVar(&w.impersonate, "impersonate", false, "with --exchange: request a token that does not name the actor")
}

func (w *wanted) check(cmd *cobra.Command) error {
	switch {
	case w.target == "" && w.resource == "":
		return base.Usage(cmd, "--target is missing")
	case w.target != "" && w.resource != "":
		return base.Usage(cmd, "--target and --resource both name a target; give one of them")
	case w.resource != "" && !strings.Contains(w.resource, ":"):
		return base.Usage(cmd, "--resource: %q is not an absolute URI; name a service with --target", w.resource)
	case w.impersonate && w.exchange == "":
		return base.Usage(cmd, "--impersonate requires --exchange")
	}
	return nil
}

// source makes the source of the token.
func (w *wanted) source(ctx context.Context, c *base.CLI, cl *client.Client) (*client.TokenSource, error) {
	target := w.target + w.resource
	if w.exchange == "" {
		return cl.TokenSource(target, w.scopes...), nil
	}
	var raw []byte
	var err error
	if w.exchange == "-" {
		raw, err = c.ReadToken(ctx, 2*jose.MaxTokenSize)
	} else {
		raw, err = base.ReadFile(w.exchange)
	}
	if err != nil {
		return nil, fmt.Errorf("read the token to exchange: %w", err)
	}
	source := cl.ExchangeSource(strings.TrimSpace(string(raw)), target, w.scopes...)
	if w.impersonate {
		source = source.Impersonate()
	}
	return source, nil
}

// onceLife is the lifetime of a credential for one use. It is revoked only if the server issued no token for
// it, since revoking a credential also revokes its tokens.
const onceLife = 30 * time.Second

// tokenByOperator creates a credential for this one use, which is not shown to anybody.
func tokenByOperator(c *base.CLI, cmd *cobra.Command, p *proof, w wanted) error {
	admin, err := c.Admin(cmd)
	if err != nil {
		return err
	}
	issued, err := admin.CreateCredential(cmd.Context(), p.as, api.NewCredential{Name: "watchword token get", TTLSeconds: int64(onceLife / time.Second)})
	if err != nil {
		return base.UnknownService(err, p.as)
	}
	err = printToken(c, cmd, p, client.Static(issued.Token), w)
	if err == nil {
		return nil
	}
	// This is also done if the command was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 5*time.Second)
	defer cancel()
	id := issued.Credential.ID
	if _, err := admin.RevokeCredential(ctx, id); err != nil {
		c.Say("warning: credential %s could not be revoked and is valid for %s: %v", id, onceLife, err)
	}
	return err
}

func printToken(c *base.CLI, cmd *cobra.Command, p *proof, credential client.CredentialSource, w wanted) error {
	cfg, err := p.config(credential)
	if err != nil {
		return err
	}
	cfg.Logger = slog.New(slog.DiscardHandler)
	if cfg.Server = c.PublicURL(cmd); p.oauth() {
		cfg.Server = c.IssuerURL(cmd)
	}
	cl, err := client.New(cfg)
	if err != nil {
		return explainToken(err)
	}
	defer cl.Close()
	source, err := w.source(cmd.Context(), c, cl)
	if err != nil {
		return err
	}
	token, err := source.Token(cmd.Context())
	if err != nil {
		return explainToken(err)
	}
	if p.dpop && p.dpopKeyFile == "" {
		c.Say("the token is bound to a key that exists only during this command, so it can be inspected but not used")
	}
	if !c.JSON {
		_, err = fmt.Fprintln(c.Stdout, token.Reveal())
		return err
	}
	lifetime, err := lifetimeOf(token.Reveal())
	if err != nil {
		return fmt.Errorf("read the token from %s: %w", cfg.Server, err)
	}
	return c.PrintJSON(map[string]any{"accessToken": token.Reveal(), "expiresIn": int64(lifetime / time.Second), "tokenType": token.Type()})
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

// explainToken adds advice to the errors of package client. A refusal itself says how an operator finds the
// reason.
func explainToken(err error) error {
	if _, ok := errors.AsType[*client.DeniedError](err); ok {
		return err
	}
	if platform, ok := errors.AsType[platformError](err); ok {
		return platform.error
	}
	away, unavailable := errors.AsType[*client.UnavailableError](err)
	if unavailable {
		err = fmt.Errorf("no token from %s: %w", away.Server, away.Err) // there is no next attempt
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return base.Next(err, "Create a credential with: watchword credential create SERVICE --out FILE")
	case unavailable:
		return base.Next(err, "%s", base.PublicAdvice(err, away.Status))
	}
	return clientError{err}
}

// clientError is an error of package client without the name of that package.
type clientError struct{ error }

func (e clientError) Error() string { return strings.TrimPrefix(e.error.Error(), "watchword client: ") }
func (e clientError) Unwrap() error { return e.error }
