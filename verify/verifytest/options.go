package verifytest

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/internal/jose"
)

// Option changes a token.
type Option func(*draft)

type draft struct {
	signer *jose.Signer
	typ    string
	issued time.Time
	ttl    time.Duration
	claims map[string]any
}

// Scopes sets the granted scopes.
func Scopes(scopes ...string) Option { return Claim("scope", strings.Join(scopes, " ")) }

// Claim sets a claim to a value that can be encoded as JSON, or removes it if value is nil.
func Claim(name string, value any) Option {
	return func(d *draft) { d.claims[name] = value }
}

// Actors makes the token an exchanged one. current acts on behalf of the caller, and former acted before it, the
// last of them first (RFC 8693, section 4.1).
func Actors(current string, former ...string) Option {
	var chain map[string]any
	for _, sub := range slices.Backward(append([]string{current}, former...)) {
		link := map[string]any{"sub": sub}
		if chain != nil {
			link["act"] = chain
		}
		chain = link
	}
	return Claim("act", chain)
}

// DependsOn sets the ids on which the token depends, in addition to its jti and key: the uid of the caller, the id
// of its credential, and so on.
func DependsOn(ids ...string) Option { return Claim("deps", ids) }

// BoundToKey binds the token to a DPoP key.
func BoundToKey(k *Key) Option { return Claim("cnf", map[string]string{"jkt": k.Thumbprint()}) }

// BoundToCertificate binds the token to a client certificate (RFC 8705, section 3.1).
func BoundToCertificate(cert *x509.Certificate) Option {
	sum := sha256.Sum256(cert.Raw)
	return Claim("cnf", map[string]string{"x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])})
}

// IssuedAt sets the time when the token was issued, from which its 15 minutes count.
func IssuedAt(t time.Time) Option { return func(d *draft) { d.issued = t } }

// Expired makes the token expire an hour ago.
func Expired() Option {
	return func(d *draft) { d.issued = d.issued.Add(-time.Hour - d.ttl) }
}

// Type sets the typ of the header: "at+jwt" for access tokens.
func Type(typ string) Option { return func(d *draft) { d.typ = typ } }

// Forged signs the token with another key than the issuer's, but with the same key id.
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
