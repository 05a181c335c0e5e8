package verify

import (
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
	"github.com/watchword-dev/watchword/internal/strictjson"
)

// Claims are what a verified token says. A *Claims exists only of a token that was verified.
type Claims struct {
	Issuer   string
	Subject  string // the service that calls
	Audience string // the service that is called: this one
	ID       string // jti: what to name the token by in a log
	ClientID string // of tokens from the OAuth door
	Scope    string // as granted, separated by spaces

	IssuedAt  time.Time
	ExpiresAt time.Time

	notBefore time.Time
	raw       []byte
}

func newClaims(c *jose.Claims) *Claims {
	return &Claims{
		Issuer: c.Issuer, Subject: c.Subject, Audience: c.Audience[0], ID: c.ID, ClientID: c.ClientID, Scope: c.Scope,
		IssuedAt: c.IssuedAt, ExpiresAt: c.Expiry, notBefore: c.NotBefore, raw: c.Raw,
	}
}

// Scopes are the scopes granted.
func (c *Claims) Scopes() []string { return strings.Fields(c.Scope) }

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
