package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/clientauth"
	"github.com/watchword-dev/watchword/internal/config"
	"github.com/watchword-dev/watchword/internal/issuer"
	"github.com/watchword-dev/watchword/internal/jose"
)

func (c *cli) tokenInspect() *cobra.Command {
	return c.withJSON(&cobra.Command{
		Use:   "inspect [-]",
		Short: "Say what a token is, and whether it is good",
		Long: `Reads a token from stdin and shows what it says, in words, and whether it is good. An
access token is checked as its target would: its signature against the keys the public
listener publishes (--url), and its dates. A bootstrap credential is checked against the
keys and the record at the operator's listener. It exits with 0 only when the token was
checked and is good. Nothing is sent of the token but a credential's id.`,
		Example: `  watchword token inspect < token
  watchword token get --as m1 --target m2 | watchword token inspect --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
				return usage(cmd, "a token is not taken as an argument, since everybody can read the arguments of a process: put it on stdin, as in: watchword token inspect < FILE")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(c.stdin, 2*jose.MaxTokenSize))
			if err != nil {
				return fmt.Errorf("read the token from stdin: %w", err)
			}
			i := c.inspect(cmd, strings.TrimSpace(string(text)), time.Now())
			if err := c.printInspection(i); err != nil {
				return err
			}
			if i.Verdict != good {
				return errSaid
			}
			return nil
		},
	})
}

// Verdicts on a token.
const (
	good      = "good"
	refused   = "refused"
	unchecked = "unchecked" // whether the signature is good could not be found out
)

// inspection is what was found out about a token.
type inspection struct {
	Kind    string          `json:"kind"`
	Verdict string          `json:"verdict"`
	Reason  string          `json:"reason,omitempty"`
	Header  json.RawMessage `json:"header,omitempty"`
	Claims  json.RawMessage `json:"claims,omitempty"`

	token  *jose.Token
	claims *jose.Claims
	now    time.Time
}

func (i *inspection) conclude(verdict, reason string, args ...any) *inspection {
	i.Verdict, i.Reason = verdict, fmt.Sprintf(reason, args...)
	return i
}

func (c *cli) inspect(cmd *cobra.Command, text string, now time.Time) *inspection {
	i := &inspection{Kind: "no token", now: now}
	var err error
	if i.token, err = jose.Parse(text); err != nil {
		return i.conclude(refused, "it is not a signed token in compact form: %v", err)
	}
	i.Header, _ = base64.RawURLEncoding.DecodeString(text[:strings.IndexByte(text, '.')])
	i.Kind = "token of another kind"
	switch {
	case isAccessType(i.token.Type):
		i.Kind = "access token"
	case i.token.Type == clientauth.BootstrapType:
		i.Kind = "bootstrap credential"
	}
	if i.claims, err = jose.ParseClaims(i.token.Payload); err != nil {
		return i.conclude(refused, "its claims are not as they have to be: %v", err)
	}
	i.Claims = i.token.Payload
	switch i.Kind {
	case "access token":
		return c.inspectAccess(cmd, i)
	case "bootstrap credential":
		return c.inspectCredential(cmd, i)
	}
	return i.conclude(refused, "its type is %q: no service and no door of Watchword takes it", i.token.Type)
}

// isAccessType: RFC 9068, section 4: the media type with or without application/, in any case.
func isAccessType(typ string) bool {
	typ = strings.ToLower(typ)
	return strings.TrimPrefix(typ, "application/") == issuer.AccessTokenType
}

func (c *cli) inspectAccess(cmd *cobra.Command, i *inspection) *inspection {
	if !i.inTime() {
		return i
	}
	server := c.publicURL(cmd)
	published, err := fetchKeys(cmd.Context(), server)
	if err != nil {
		return i.conclude(unchecked, "the signature could not be checked: %v; name the server's public listener with --url", err)
	}
	if !i.signedBy(published, "published by "+server) {
		return i
	}
	return i.conclude(good, "signed by a key of %s, and in time; good for %s only", server, strings.Join(i.claims.Audience, ", "))
}

func (c *cli) inspectCredential(cmd *cobra.Command, i *inspection) *inspection {
	if !i.inTime() {
		return i
	}
	admin, keys, err := c.serverKeys(cmd, "credential")
	if err != nil {
		return i.conclude(unchecked, "only the operator's listener tells whether a credential is good: %s", c.text(err))
	}
	if !i.signedBy(keys.set, "in the key ring of "+admin.URL()) {
		return i
	}
	record, err := admin.Credential(cmd.Context(), i.claims.ID)
	switch {
	case statusOf(err) == http.StatusNotFound:
		return i.conclude(refused, "the server has no record of it: its service was deleted")
	case err != nil:
		return i.conclude(unchecked, "its record could not be read: %v", err)
	case record.Value.Status != "active":
		return i.conclude(refused, "it is %s", record.Value.Status)
	}
	service, err := admin.Service(cmd.Context(), record.Value.Service)
	if err == nil && service.Value.Disabled {
		return i.conclude(refused, "its service is disabled")
	}
	return i.conclude(good, "signed by this server, in time and not revoked")
}

// inTime checks the dates, without leeway.
func (i *inspection) inTime() bool {
	claims := i.claims
	switch {
	case claims.Expiry.IsZero():
		i.conclude(refused, "it has no expiry")
	case !i.now.Before(claims.Expiry):
		i.conclude(refused, "it expired %s ago", about(i.now.Sub(claims.Expiry)))
	case i.now.Before(claims.NotBefore):
		i.conclude(refused, "it is not good before %s, in %s; is a clock wrong?", moment(claims.NotBefore), about(claims.NotBefore.Sub(i.now)))
	case i.now.Add(time.Minute).Before(claims.IssuedAt):
		i.conclude(refused, "it was issued in the future, in %s; is a clock wrong?", about(claims.IssuedAt.Sub(i.now)))
	default:
		return true
	}
	return false
}

// signedBy checks the signature; where says where set is from.
func (i *inspection) signedBy(set *jose.KeySet, where string) bool {
	err := i.token.Verify(set, []jose.Algorithm{jose.ES256, jose.RS256, jose.PS256, jose.EdDSA})
	switch {
	case err == nil:
		return true
	case errors.Is(err, jose.ErrUnknownKey):
		i.conclude(refused, "its key %s is not %s: it is of another server, or the key was revoked or is long replaced", i.token.KeyID, where)
	default:
		i.conclude(refused, "%v", err)
	}
	return false
}

// about is a duration as people say it.
func about(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return config.FormatDuration(d.Round(24 * time.Hour))
	case d >= time.Hour:
		return config.FormatDuration(d.Round(time.Minute))
	default:
		return config.FormatDuration(d.Round(time.Second))
	}
}

// fetchKeys reads the keys a server publishes.
func fetchKeys(ctx context.Context, server string) (*jose.KeySet, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+"/.well-known/jwks.json", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", req.URL, resp.Status)
	}
	return jose.ParseKeySet(body)
}

func (c *cli) printInspection(i *inspection) error {
	if c.json {
		return c.printJSON(i)
	}
	fields := []string{"kind", i.Kind}
	if i.token != nil {
		fields = append(fields, "type", i.token.Type, "key", i.token.KeyID, "algorithm", i.token.Algorithm)
	}
	if claims := i.claims; claims != nil {
		expires := moment(claims.Expiry)
		if left := claims.Expiry.Sub(i.now); left > 0 {
			expires += ", in " + about(left)
		}
		fields = append(fields, "caller", claims.Subject, "target", strings.Join(claims.Audience, ", "), "scope", claims.Scope,
			"issuer", claims.Issuer, "id", claims.ID, "issued", moment(claims.IssuedAt), "not before", moment(claims.NotBefore), "expires", expires)
	} else if i.Claims == nil && i.token != nil {
		fields = append(fields, "payload", string(bytes.ToValidUTF8(i.token.Payload, []byte("?"))))
	}
	return c.printFields(append(fields, "verdict", i.Verdict+": "+i.Reason)...)
}
