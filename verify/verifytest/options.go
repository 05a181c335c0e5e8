package verifytest

import (
	"fmt"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// Option changes one thing about a token.
type Option func(*draft)

type draft struct {
	signer *jose.Signer
	typ    string
	issued time.Time
	ttl    time.Duration
	claims map[string]any
}

// Scopes grants scopes.
func Scopes(scopes ...string) Option { return Claim("scope", strings.Join(scopes, " ")) }

// Claim sets a claim to any value that encodes as JSON, or takes it out when value is nil.
func Claim(name string, value any) Option {
	return func(d *draft) { d.claims[name] = value }
}

// IssuedAt sets when the token was issued. Its 15 minutes count from there.
func IssuedAt(t time.Time) Option { return func(d *draft) { d.issued = t } }

// Expired makes the token one that expired an hour ago.
func Expired() Option {
	return func(d *draft) { d.issued = d.issued.Add(-time.Hour - d.ttl) }
}

// Type sets the typ of the header: "at+jwt" for access tokens.
func Type(typ string) Option { return func(d *draft) { d.typ = typ } }

// Forged signs with a key that is not the issuer's, under the same key id.
func Forged() Option {
	return func(d *draft) {
		key, err := jose.GenerateKey(d.signer.Algorithm())
		if err == nil {
			d.signer, err = jose.NewSigner(d.signer.ID(), d.signer.Algorithm(), key)
		}
		if err != nil {
			panic(fmt.Sprintf("verifytest: make a forger's key: %v", err))
		}
	}
}
