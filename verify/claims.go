package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Claims are what a verified token says. A *Claims exists only of a token that was verified.
//
// Who may do what is decided by Subject, Scope and, where it matters who acts for the subject, by
// Actor. Actors before the current one are there for logs: RFC 8693, section 4.1, forbids to
// consider them in decisions.
type Claims struct {
	Issuer   string
	Subject  string // the service that calls, or for which the current actor calls
	Audience string // the service that is called: this one
	ID       string // jti: what to name the token by in a log
	ClientID string // who asked for the token: of tokens from the OAuth door
	CallerID string // uid of Subject, which no service made later under the same name has
	Scope    string // as granted, separated by spaces

	// Actors is the act chain of an exchanged token, the current actor first. Empty: Subject itself
	// calls.
	Actors []string
	// Binding is the key the token is bound to, whose proof was checked. Zero: a bearer token.
	Binding Binding

	IssuedAt  time.Time
	ExpiresAt time.Time

	notBefore time.Time
	bound     bool // has cnf, perhaps of a kind not known here
	keyID     string
	deps      []string
	raw       []byte
}

// Binding is the key or certificate that a token is bound to.
type Binding struct {
	KeyThumbprint     string // RFC 7638 SHA-256 thumbprint of a DPoP key (RFC 9449, section 6.1)
	CertificateSHA256 string // SHA-256 of a client certificate, in base64url (RFC 8705, section 3.1)
}

func (v *Verifier) newClaims(c *jose.Claims, keyID string) *Claims {
	own := &Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: v.ownAudience(c.Audience), ID: c.ID, ClientID: c.ClientID, Scope: c.Scope,
		Actors: c.Actors, Binding: Binding{c.KeyThumbprint, c.CertificateSHA256}, bound: c.Bound,
		IssuedAt: c.IssuedAt, ExpiresAt: c.Expiry, notBefore: c.NotBefore, keyID: keyID, deps: c.Deps, raw: c.Raw,
	}
	if len(c.Deps) > 0 {
		own.CallerID = c.Deps[0]
	}
	return own
}

// clone is a copy with which the caller may do what it likes.
func (c *Claims) clone() *Claims {
	own := *c
	own.Actors = slices.Clone(c.Actors)
	return &own
}

// Actor is who calls for Subject, the current actor. Empty: Subject itself calls.
func (c *Claims) Actor() string {
	if len(c.Actors) == 0 {
		return ""
	}
	return c.Actors[0]
}

// Scopes are the scopes granted.
func (c *Claims) Scopes() []string {
	return strings.FieldsFunc(c.Scope, func(r rune) bool { return r == ' ' }) // RFC 6749, section 3.3: nothing else separates
}

// HasScope says whether all of scopes were granted.
func (c *Claims) HasScope(scopes ...string) bool {
	granted := c.Scopes()
	for _, s := range scopes {
		if !slices.Contains(granted, s) {
			return false
		}
	}
	return true
}

// Decode decodes the whole claim set into v, as encoding/json would but strictly: names match
// in their exact case.
func (c *Claims) Decode(v any) error { return strictjson.Unmarshal(c.raw, v) }
