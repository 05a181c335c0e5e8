package token

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
		Short: "Say what a token is, and whether it is good",
		Long: `Reads a token from stdin and shows what it says, in words, and whether it is good. An
access token is checked as its target would: its signature against the keys the public
listener publishes (--url), its dates, and everything that it depends on against the signed deny-list
there; of what was revoked the operator's listener tells when, if it can be asked. Whether
who shows a bound token has its key, nobody can tell from the token. A bootstrap credential is
checked against the keys and the record at the operator's listener. It exits with 0 only
when the token was checked and is good. Nothing is sent of the token but ids and names.`,
		Example: `  watchword token inspect < token
  watchword token get --as m1 --target m2 | watchword token inspect --json`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && (len(args) > 1 || args[0] != "-") {
				return tokenAsArgument(cmd)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			text, err := io.ReadAll(io.LimitReader(c.Stdin, 2*jose.MaxTokenSize))
			if err != nil {
				return fmt.Errorf("read the token from stdin: %w", err)
			}
			token := strings.TrimSpace(string(text))
			if token == "" {
				return base.Usage(cmd, "a token on stdin is missing")
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
		return i.conclude(refused, "its claims are not as they have to be: %v", err)
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
		return i.conclude(unchecked, "it is signed by a key of %s and in time, but whether it was revoked could not be found out: %v", server, unknown)
	}
	if !slices.Contains(list.Issuers, i.claims.Issuer) {
		return i.conclude(unchecked, "it is signed by a key of %s and in time, but the deny-list there is not for tokens of %q", server, i.claims.Issuer)
	}
	if i.Revoked = list.denied(i.claims); len(i.Revoked) > 0 {
		return i.conclude(refused, "%s", whyRevoked(c, cmd, i.claims, i.Revoked))
	}
	only := strings.Join(i.claims.Audience, " and ") + " only"
	if i.claims.Bound {
		only += ", and with proof of the key it is bound to"
	}
	return i.conclude(good, "signed by a key of %s, in time and not revoked; good for %s", server, only)
}

func inspectCredential(c *base.CLI, cmd *cobra.Command, i *inspection) *inspection {
	if !i.inTime() {
		return i
	}
	admin, keys, err := key.OfServer(c, cmd, "credential")
	if err != nil {
		return i.conclude(unchecked, "only the operator's listener tells whether a credential is good: %s", c.Text(err))
	}
	if !i.signedBy(keys.Set, "in the key ring of "+admin.URL()) {
		return i
	}
	record, err := admin.Credential(cmd.Context(), i.claims.ID)
	switch {
	case base.StatusOf(err) == http.StatusNotFound:
		return i.conclude(refused, "the server has no record of it: its service was deleted")
	case err != nil:
		return i.conclude(unchecked, "its record could not be read: %v", err)
	case record.Status != "active":
		return i.conclude(refused, "it is %s", strings.ReplaceAll(record.Status, "_", " "))
	}
	service, err := admin.Service(cmd.Context(), record.Service)
	if err == nil && service.Disabled {
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
		i.conclude(refused, "it is not good before %s, in %s; is a clock wrong?", base.Moment(claims.NotBefore), about(claims.NotBefore.Sub(i.now)))
	case i.now.Add(time.Minute).Before(claims.IssuedAt):
		i.conclude(refused, "it was issued in the future, in %s; is a clock wrong?", about(claims.IssuedAt.Sub(i.now)))
	default:
		return true
	}
	return false
}

// signedBy checks the signature; where says where set is from.
func (i *inspection) signedBy(set *jose.KeySet, where string) bool {
	err := i.token.Verify(set, jose.Algorithms())
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

// parties are who calls, and for whom. Who calls is the actor, where there is one.
func parties(claims *jose.Claims) []string {
	if len(claims.Actors) == 0 {
		return []string{"caller", claims.Subject}
	}
	return []string{"caller", claims.Actors[0], "on behalf of", claims.Subject, "by way of", strings.Join(claims.Actors[1:], ", ")}
}

// boundTo is the key that has to be proved with the token.
func boundTo(claims *jose.Claims) string {
	var keys []string
	if claims.KeyThumbprint != "" {
		keys = append(keys, "the DPoP key "+claims.KeyThumbprint)
	}
	if claims.CertificateSHA256 != "" {
		keys = append(keys, "the certificate "+claims.CertificateSHA256)
	}
	if claims.Bound && len(keys) == 0 {
		return "a key, in a way that is not known here"
	}
	return strings.Join(keys, " and ")
}

// statusList is where else the token's status can be had.
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
	return fmt.Sprintf("place %d of %s", m.Status.List.Index, m.Status.List.URI)
}
