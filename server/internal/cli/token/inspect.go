package token

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/server/internal/cli/base"
	"github.com/watchword-dev/watchword/server/internal/cli/key"
	"github.com/watchword-dev/watchword/server/internal/clientauth"
	"github.com/watchword-dev/watchword/server/internal/config"
	"github.com/watchword-dev/watchword/server/internal/issuer"
)

func tokenInspect(c *base.CLI) *cobra.Command {
	return c.WithJSON(&cobra.Command{
		Use:   "inspect [-]",
		Short: "Show what a token contains and whether it is valid",
		Long: `Reads a token from standard input, shows what it contains, and checks whether it is valid.

The command checks an access token as its target does: the signature with the keys that the public
listener publishes (--url), the times, and the ids on which the token depends with the deny-list.
It cannot check whether the sender of a bound token has the key. If something was revoked, the
command reads from the operator API when. It checks a bootstrap credential with the keys and the
record of the operator API. Only ids and names of a token are sent to the server.

The exit code is 0 only if the token was checked and is valid.`,
		Example: `  watchword token inspect < token
  watchword token get --as m1 --target m2 | watchword token inspect --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
				return tokenAsArgument(cmd)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := c.ReadToken(cmd.Context(), 2*jose.MaxTokenSize)
			if err != nil {
				return fmt.Errorf("read the token from standard input: %w", err)
			}
			token := strings.TrimSpace(string(text))
			if token == "" {
				return base.Usage(cmd, "a token on standard input is missing")
			}
			i := inspect(c, cmd, token, time.Now())
			if err := printInspection(c, i); err != nil {
				return err
			}
			if i.Verdict != good {
				return base.ErrSaid
			}
			return nil
		},
	})
}

// Results of an inspection.
const (
	good      = "good"
	refused   = "refused"
	unchecked = "unchecked" // the token could not be checked
)

// inspection is what is known about a token.
type inspection struct {
	Kind    string          `json:"kind"`
	Verdict string          `json:"verdict"`
	Reason  string          `json:"reason,omitempty"`
	Header  json.RawMessage `json:"header,omitempty"`
	Claims  json.RawMessage `json:"claims,omitempty"`
	// Revoked are the ids for which the deny-list refuses it.
	Revoked []string `json:"revoked,omitempty"`

	token  *jose.Token
	claims *jose.Claims
	now    time.Time
}

func (i *inspection) conclude(verdict, reason string, args ...any) *inspection {
	i.Verdict, i.Reason = verdict, fmt.Sprintf(reason, args...)
	return i
}

func inspect(c *base.CLI, cmd *cobra.Command, text string, now time.Time) *inspection {
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
		return i.conclude(refused, "its claims are invalid: %v", err)
	}
	i.Claims = i.token.Payload
	switch i.Kind {
	case "access token":
		return inspectAccess(c, cmd, i)
	case "bootstrap credential":
		return inspectCredential(c, cmd, i)
	}
	return i.conclude(refused, "its type is %q: neither a service nor the server takes it", i.token.Type)
}

// isAccessType: RFC 9068, section 4: the media type with or without application/, in any case.
func isAccessType(typ string) bool {
	typ = strings.ToLower(typ)
	return strings.TrimPrefix(typ, "application/") == issuer.AccessTokenType
}

func inspectAccess(c *base.CLI, cmd *cobra.Command, i *inspection) *inspection {
	if !i.inTime() {
		return i
	}
	server := c.PublicURL(cmd)
	published, err := fetchKeys(cmd.Context(), server)
	if err != nil {
		return i.conclude(unchecked, "the signature could not be checked: %v. %s", err, adviceOn(err))
	}
	list, unknown := fetchDenyList(cmd.Context(), server, published, i.now)
	if list != nil && slices.Contains(list.Keys, i.token.KeyID) {
		return i.conclude(refused, "the key that signed it, %s, was revoked", i.token.KeyID)
	}
	if !i.signedBy(published, "published by "+server) {
		return i
	}
	if unknown != nil {
		return i.conclude(unchecked, "the signature and the times are valid, but the deny-list of %s could not be read: %v", server, unknown)
	}
	if !slices.Contains(list.Issuers, i.claims.Issuer) {
		return i.conclude(unchecked, "the signature and the times are valid, but the deny-list of %s is not for tokens of the issuer %q", server, i.claims.Issuer)
	}
	if i.Revoked = list.denied(i.claims); len(i.Revoked) > 0 {
		return i.conclude(refused, "%s", whyRevoked(c, cmd, i.claims, i.Revoked))
	}
	only := strings.Join(i.claims.Audience, " and ") + " only"
	if i.claims.Bound {
		only += ", with proof of the key to which it is bound"
	}
	return i.conclude(good, "signed by a key of %s, not expired and not revoked; valid for %s", server, only)
}

func inspectCredential(c *base.CLI, cmd *cobra.Command, i *inspection) *inspection {
	if !i.inTime() {
		return i
	}
	admin, keys, err := key.OfServer(c, cmd, "credential")
	if err != nil {
		return i.conclude(unchecked, "a credential can only be checked with the operator API: %s", c.Text(err))
	}
	if !i.signedBy(keys.Set, "in the key ring of "+admin.URL()) {
		return i
	}
	record, err := admin.Credential(cmd.Context(), i.claims.ID)
	switch {
	case base.StatusOf(err) == http.StatusNotFound:
		return i.conclude(refused, "the server has no record of it, since its service was deleted")
	case err != nil:
		return i.conclude(unchecked, "its record could not be read: %v", err)
	case record.Status != "active":
		return i.conclude(refused, "it is %s", strings.ReplaceAll(record.Status, "_", " "))
	}
	service, err := admin.Service(cmd.Context(), record.Service)
	if err == nil && service.Disabled {
		return i.conclude(refused, "its service is disabled")
	}
	return i.conclude(good, "signed by this server, not expired and not revoked")
}

// inTime checks the times, without leeway.
func (i *inspection) inTime() bool {
	claims := i.claims
	switch {
	case claims.Expiry.IsZero():
		i.conclude(refused, "it has no expiry")
	case !i.now.Before(claims.Expiry):
		i.conclude(refused, "it expired %s ago", about(i.now.Sub(claims.Expiry)))
	case i.now.Before(claims.NotBefore):
		i.conclude(refused, "it is not valid before %s, which is in %s; check the clocks", base.Moment(claims.NotBefore), about(claims.NotBefore.Sub(i.now)))
	case i.now.Add(time.Minute).Before(claims.IssuedAt):
		i.conclude(refused, "it was issued in the future, in %s; check the clocks", about(claims.IssuedAt.Sub(i.now)))
	default:
		return true
	}
	return false
}

// signedBy checks the signature. where says where set comes from.
func (i *inspection) signedBy(set *jose.KeySet, where string) bool {
	err := i.token.Verify(set, jose.Algorithms())
	switch {
	case err == nil:
		return true
	case errors.Is(err, jose.ErrUnknownKey):
		i.conclude(refused, "its key %s is not %s: the token is from another server, or its key was revoked or has been replaced", i.token.KeyID, where)
	default:
		i.conclude(refused, "%v", err)
	}
	return false
}

// about is a duration, rounded.
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
	body, err := fetch(ctx, server+"/.well-known/jwks.json", 1<<20)
	if err != nil {
		return nil, err
	}
	return jose.ParseKeySet(body)
}

func printInspection(c *base.CLI, i *inspection) error {
	if c.JSON {
		return c.PrintJSON(i)
	}
	fields := []string{"kind", i.Kind}
	if i.token != nil {
		fields = append(fields, "type", i.token.Type, "key", i.token.KeyID, "algorithm", i.token.Algorithm)
	}
	if claims := i.claims; claims != nil {
		expires := base.Moment(claims.Expiry)
		if left := claims.Expiry.Sub(i.now); left > 0 {
			expires += ", in " + about(left)
		}
		fields = append(fields, parties(claims)...)
		fields = append(fields, "target", strings.Join(claims.Audience, ", "), "scope", claims.Scope, "bound to", boundTo(claims),
			"may act", claims.MayAct, "issuer", claims.Issuer, "id", claims.ID, "issued", base.Moment(claims.IssuedAt), "not before", base.Moment(claims.NotBefore), "expires", expires,
			"depends on", strings.Join(claims.Deps, " "), "status list", statusList(claims))
	} else if i.Claims == nil && i.token != nil {
		fields = append(fields, "payload", string(bytes.ToValidUTF8(i.token.Payload, []byte("?"))))
	}
	return c.PrintFields(append(fields, "verdict", i.Verdict+": "+i.Reason)...)
}

// parties are the caller, which is the actor if there is one, and the subject.
func parties(claims *jose.Claims) []string {
	if len(claims.Actors) == 0 {
		return []string{"caller", claims.Subject}
	}
	return []string{"caller", claims.Actors[0], "on behalf of", claims.Subject, "by way of", strings.Join(claims.Actors[1:], ", ")}
}

// boundTo is the key to which the token is bound.
func boundTo(claims *jose.Claims) string {
	var keys []string
	if claims.KeyThumbprint != "" {
		keys = append(keys, "the DPoP key "+claims.KeyThumbprint)
	}
	if claims.CertificateSHA256 != "" {
		keys = append(keys, "the certificate "+claims.CertificateSHA256)
	}
	if claims.Bound && len(keys) == 0 {
		return "a key, by a method that is not known here"
	}
	return strings.Join(keys, " and ")
}

// statusList is the place of the token in a Token Status List.
func statusList(claims *jose.Claims) string {
	var m struct {
		Status struct {
			List struct {
				Index int64  `json:"idx"`
				URI   string `json:"uri"`
			} `json:"status_list"`
		} `json:"status"`
	}
	if json.Unmarshal(claims.Raw, &m) != nil || m.Status.List.URI == "" {
		return ""
	}
	return fmt.Sprintf("index %d of %s", m.Status.List.Index, m.Status.List.URI)
}
