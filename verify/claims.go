package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Claims are the claims of a verified token. There is no *Claims for a token that was not verified.
//
// Use Subject and Scope in access decisions and, if it matters which service acts for the subject, Actor. The
// actors before the current one are for logs only: RFC 8693, section 4.1, forbids using them in decisions.
type Claims struct {
	Issuer   string
	Subject  string // the calling service, or the service on whose behalf the current actor calls
	Audience string // the called service, which is this one
	ID       string // jti, the id of the token for logs
	ClientID string // the service that obtained the token; empty in tokens of POST /accesstoken of earlier versions
	CallerID string // uid of Subject; a service that is created later with the same name has another
	Scope    string // the granted scopes, separated by spaces

	// Actors is the act chain of an exchanged token, the current actor first. If empty, Subject itself calls.
	Actors []string
	// Binding is the key to which the token is bound, and whose proof was checked. It is zero for a bearer token.
	Binding Binding

	IssuedAt  time.Time
	ExpiresAt time.Time

	notBefore time.Time
	bound     bool // whether there is a cnf claim, perhaps of an unknown kind
	keyID     string
	deps      []string
	depKeys   []string // kids of the keys that signed tokens from which it was exchanged
	target    string   // uid of the service for which it was issued, as Audience
	raw       []byte
}

// Binding is the key or certificate to which a token is bound.
type Binding struct {
	KeyThumbprint     string // RFC 7638 SHA-256 thumbprint of a DPoP key (RFC 9449, section 6.1)
	CertificateSHA256 string // SHA-256 of a client certificate, in base64url (RFC 8705, section 3.1)
}

func (v *Verifier) newClaims(c *jose.Claims, keyID string) *Claims {
	own := &Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: v.ownAudience(c.Audience), ID: c.ID, ClientID: c.ClientID, Scope: c.Scope,
		Actors: c.Actors, Binding: Binding{c.KeyThumbprint, c.CertificateSHA256}, bound: c.Bound,
		IssuedAt: c.IssuedAt, ExpiresAt: c.Expiry, notBefore: c.NotBefore, keyID: keyID, deps: c.Deps, depKeys: c.DepKeys, raw: c.Raw,
	}
	if len(c.Deps) > 0 {
		own.CallerID = c.Deps[0]
	}
	if i := slices.Index(c.Audience, own.Audience); i >= 0 && i < len(c.Targets) {
		own.target = c.Targets[i]
	}
	return own
}

// clone returns a copy that may be modified.
func (c *Claims) clone() *Claims {
	own := *c
	own.Actors = slices.Clone(c.Actors)
	return &own
}

// Actor returns the current actor, which calls on behalf of Subject. If it is empty, Subject itself calls.
func (c *Claims) Actor() string {
	if len(c.Actors) == 0 {
		return ""
	}
	return c.Actors[0]
}

// Scopes returns the granted scopes.
func (c *Claims) Scopes() []string {
	// RFC 6749, section 3.3: only spaces separate scopes.
	return strings.FieldsFunc(c.Scope, func(r rune) bool { return r == ' ' })
}

// HasScope reports whether all of scopes were granted.
func (c *Claims) HasScope(scopes ...string) bool {
	granted := c.Scopes()
	for _, s := range scopes {
		if !slices.Contains(granted, s) {
			return false
		}
	}
	return true
}

// Decode decodes all claims into v, like encoding/json but strictly: names match only in their exact case.
func (c *Claims) Decode(v any) error { return strictjson.Unmarshal(c.raw, v) }
