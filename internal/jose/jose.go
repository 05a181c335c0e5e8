// Package jose reads and writes what JOSE puts on the wire: compact signed tokens
// (RFC 7515), keys and key sets (RFC 7517), registered claims (RFC 7519). It is stricter
// than those allow wherever laxness has been a way in. It does not know whose a key is,
// which issuer or audience to expect, or what time it is.
//
// Keys are read and written by go-jose/v4, which is imported nowhere else; but for those of
// P-256, since every DPoP proof brings one. Signing and verifying a compact token are a few
// lines over the standard library, here: through go-jose either costs 6 to 7 microseconds and 60 to 100 allocations more
// (ES256, Go 1.26), and its parser takes what ours must refuse first in any case (line
// breaks inside base64, algorithms that are not of the key). The tests hold the two
// against each other.
package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Errors that callers tell apart. None of them carries a part of the token.
var (
	// ErrMalformed: not a compact signed token, or a claim set or key that breaks the rules.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge: longer than MaxTokenSize. It is an ErrMalformed.
	ErrTooLarge = fmt.Errorf("%w token: too large", ErrMalformed)
	// ErrAlgorithm: an algorithm that is unknown, not allowed here, or not the key's own.
	ErrAlgorithm = errors.New("signature algorithm not accepted")
	// ErrNoKey: the token names no key.
	ErrNoKey = errors.New("token names no key")
	// ErrUnknownKey: the token names a key that is not in the set.
	ErrUnknownKey = errors.New("unknown signing key")
	// ErrSignature: the signature is not one of the key over these bytes.
	ErrSignature = errors.New("signature does not match")
	// ErrWeakKey: a key too short, too long or known to be broken.
	ErrWeakKey = errors.New("key is not safe to use")
)

// Algorithm is a signature algorithm (RFC 7518, section 3.1; RFC 8037).
type Algorithm string

// The algorithms. There is no symmetric one: whoever could verify could also sign.
const (
	ES256 Algorithm = "ES256" // ECDSA on P-256
	RS256 Algorithm = "RS256" // RSA, PKCS #1 v1.5
	PS256 Algorithm = "PS256" // RSA-PSS
	EdDSA Algorithm = "EdDSA" // Ed25519; "Ed25519" (RFC 9864) is read as the same
)

// Algorithms are all there are, the default one first.
func Algorithms() []Algorithm { return []Algorithm{ES256, RS256, PS256, EdDSA} }

// ClientAlgorithms are those by which clients prove themselves and keys of their own: not RS256 (FAPI 2.0, section
// 5.4).
func ClientAlgorithms() []Algorithm { return []Algorithm{ES256, PS256, EdDSA} }

// ParseAlgorithm reads the name of an algorithm, in its exact case.
func ParseAlgorithm(s string) (Algorithm, error) {
	if s == "Ed25519" {
		return EdDSA, nil
	}
	if slices.Contains(Algorithms(), Algorithm(s)) {
		return Algorithm(s), nil
	}
	return "", fmt.Errorf("%w: use one of %s", ErrAlgorithm, List(Algorithms()))
}

// List is algorithms as a sentence names them.
func List(algorithms []Algorithm) string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// RSA moduli in bits. Below, factoring comes within reach (RFC 7518, section 3.3); above,
// one signature check costs milliseconds.
const (
	minRSABits = 2048
	maxRSABits = 8192
	newRSABits = 3072 // 128 bits of security: NIST SP 800-57 part 1, table 2
)

// GenerateKey makes a private key for alg.
func GenerateKey(alg Algorithm) (crypto.Signer, error) {
	switch alg {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256, PS256:
		return rsa.GenerateKey(rand.Reader, newRSABits)
	case EdDSA:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("generate key: %w", ErrAlgorithm)
}
