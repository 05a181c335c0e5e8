package token

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// wanted is the token asked for.
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
		Use:   "get (--as SERVICE | --credential-file FILE) --target SERVICE",
		Short: "Get an access token as a service would",
		Long: `Gets an access token from the public listener, as a service would, and prints it and
nothing else.

A service proves itself with the bootstrap credential in --credential-file; with --as it is
the one in credentials/SERVICE.jwt in the data folder; where there is none the operator makes
one that lives half a minute, as the audit log shows. They ask at POST /accesstoken.

With --method, or a file of another credential, the token comes from POST /oauth2/token, whose
server is known by its issuer URL: --url names that then (default: the setting issuer).
--exchange asks for a token that names the service of another one as its subject, and --as as
the actor; "-" is stdin.`,
		Example: `  watchword token get --as m1 --target m2
  watchword token get --credential-file m1.jwt --target m2 --scope read
  watchword token get --as m1 --secret-file m1.secret --target m2
  watchword token get --as m1 --key-file m1.jwk --resource https://orders.example.com --dpop-key-file dpop.jwk
  watchword token get --as m1 --method self-signed-tls --cert-file m1-cert.pem --cert-key-file m1-key.pem --target m2
  watchword token get --as m2 --key-file m2.jwk --exchange incoming.jwt --target m3
  curl -H "Authorization: Bearer $(watchword token get --as m1 --target m2)" http://localhost:8002/hello`,
		Args: base.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := w.check(cmd); err != nil {
				return err
			}
			if err := p.check(cmd); err != nil {
				return err
			}
			if (w.resource != "" || w.exchange != "") && p.method == "" {
				p.method = "bootstrap" // both are of the OAuth door
			}
			switch {
			case p.method != "" && p.method != "bootstrap":
				return printToken(c, cmd, &p, nil, w)
			case p.as == "" && p.credentialFile == "":
				return base.Usage(cmd, "--as or --credential-file is missing")
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
	flags.StringVar(&w.target, "target", "", "service that is called")
	flags.StringVar(&w.resource, "resource", "", "absolute URI of the service that is called, in place of its name")
	flags.StringArrayVar(&w.scopes, "scope", nil, "scope to ask for; repeat for more (default: all the rule has)")
	flags.StringVar(&w.exchange, "exchange", "", "file of an access token to exchange")
	flags.BoolVar(&w.impersonate, "impersonate", false, "exchange it for one that does not say who acts")
}

func (w *wanted) check(cmd *cobra.Command) error {
	switch {
	case w.target == "" && w.resource == "":
		return base.Usage(cmd, "--target is missing")
	case w.target != "" && w.resource != "":
		return base.Usage(cmd, "--target and --resource name two targets")
	case w.resource != "" && !strings.Contains(w.resource, ":"):
		return base.Usage(cmd, "--resource: %q is not an absolute URI; name a service with --target", w.resource)
	case w.impersonate && w.exchange == "":
		return base.Usage(cmd, "--impersonate is for --exchange")
	}
	return nil
}

// source makes the one who asks for it.
func (w *wanted) source(c *base.CLI, cl *client.Client) (*client.TokenSource, error) {
	target := w.target + w.resource
	if w.exchange == "" {
		return cl.TokenSource(target, w.scopes...), nil
	}
	var raw []byte
	var err error
	if w.exchange == "-" {
		raw, err = io.ReadAll(io.LimitReader(c.Stdin, 2*jose.MaxTokenSize))
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

// onceLife is how long a credential lives that is made for one use. Revoked it is only when it
// got no token: a token is good no longer when the credential is revoked that got it.
const onceLife = 30 * time.Second

// tokenByOperator makes a credential for this one use, which nobody else ever sees.
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
	// Also when the command was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(cmd.Context()), 5*time.Second)
	defer cancel()
	id := issued.Credential.ID
	if _, err := admin.RevokeCredential(ctx, id); err != nil {
		c.Say("warning: credential %s could not be revoked and lives for %s: %v", id, onceLife, err)
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
		return err
	}
	defer cl.Close()
	source, err := w.source(c, cl)
	if err != nil {
		return err
	}
	token, err := source.Token(cmd.Context())
	if err != nil {
		return explainToken(err)
	}
	if p.dpop && p.dpopKeyFile == "" {
		c.Say("the token is bound to a key that ends with this command: it cannot be used, only looked at")
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

// explainToken adds what to do to the errors of the SDK. A refusal says itself how an operator sees why.
func explainToken(err error) error {
	if _, ok := errors.AsType[*client.DeniedError](err); ok {
		return err
	}
	status := 0
	if away, ok := errors.AsType[*client.UnavailableError](err); ok {
		status = away.Status
		err = fmt.Errorf("no token from %s: %w", away.Server, away.Err) // there is no next attempt
	}
	if errors.Is(err, fs.ErrNotExist) {
		return base.Next(err, "Make a credential with: watchword credential create SERVICE --out FILE")
	}
	return base.Next(err, "%s", base.PublicAdvice(err, status))
}
