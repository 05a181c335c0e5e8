// Package jose reads and writes compact signed tokens (RFC 7515), keys and key sets (RFC 7517) and registered
// claims (RFC 7519). It is stricter than the RFCs where leniency has led to vulnerabilities. It does not know the
// owner of a key, the expected issuer and audience, or the time.
//
// Keys are read and written with go-jose/v4, which no other package imports, except for P-256 keys, because every
// DPoP proof has one. Signing and verifying a compact token uses the standard library directly. With go-jose, each
// takes 6 to 7 microseconds and 60 to 100 allocations more (ES256, Go 1.26), and its parser accepts what this
// package must refuse anyway (line breaks inside base64, algorithms other than that of the key). The tests compare
// both.
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

// Errors for errors.Is. None of them contains a part of the token.
var (
	// ErrMalformed means that it is not a compact signed token, or that a claim set or key is malformed.
	ErrMalformed = errors.New("malformed")
	// ErrTooLarge means that a token is longer than MaxTokenSize. It is an ErrMalformed.
	ErrTooLarge = fmt.Errorf("%w token: too large", ErrMalformed)
	// ErrAlgorithm means that an algorithm is unknown, not allowed, or not that of the key.
	ErrAlgorithm = errors.New("signature algorithm not accepted")
	// ErrNoKey means that the token names no key.
	ErrNoKey = errors.New("token names no key")
	// ErrUnknownKey means that the token names a key that is not in the set.
	ErrUnknownKey = errors.New("unknown signing key")
	// ErrSignature means that the key has not made the signature of these bytes.
	ErrSignature = errors.New("signature does not match")
	// ErrWeakKey means that a key is too short, too long or known to be insecure.
	ErrWeakKey = errors.New("key is not safe to use")
)

// Algorithm is a signature algorithm (RFC 7518, section 3.1; RFC 8037).
type Algorithm string

// The algorithms. There is no symmetric one, because everybody who can verify could also sign.
const (
	ES256 Algorithm = "ES256" // ECDSA on P-256
	RS256 Algorithm = "RS256" // RSA, PKCS #1 v1.5
	PS256 Algorithm = "PS256" // RSA-PSS
	EdDSA Algorithm = "EdDSA" // Ed25519; "Ed25519" (RFC 9864) is read as EdDSA

	// Of tokens of platforms only.
	ES384 Algorithm = "ES384" // ECDSA on P-384
	ES512 Algorithm = "ES512" // ECDSA on P-521
	RS384 Algorithm = "RS384"
	RS512 Algorithm = "RS512"
	PS384 Algorithm = "PS384"
	PS512 Algorithm = "PS512"
)

// method is how signatures of an algorithm of RSA or ECDSA are made.
type method struct {
	hash  crypto.Hash
	curve elliptic.Curve // of ECDSA
	pss   bool           // of RSA
}

// methods has no EdDSA, which hashes by itself.
var methods = map[Algorithm]method{
	ES256: {hash: crypto.SHA256, curve: elliptic.P256()},
	ES384: {hash: crypto.SHA384, curve: elliptic.P384()},
	ES512: {hash: crypto.SHA512, curve: elliptic.P521()},
	RS256: {hash: crypto.SHA256}, RS384: {hash: crypto.SHA384}, RS512: {hash: crypto.SHA512},
	PS256: {hash: crypto.SHA256, pss: true}, PS384: {hash: crypto.SHA384, pss: true}, PS512: {hash: crypto.SHA512, pss: true},
}

// coordinate returns the size of a coordinate of a point on a curve, and of each half of a signature, in bytes (RFC
// 7518, sections 3.4 and 6.2.1.2).
func coordinate(curve elliptic.Curve) int { return (curve.Params().BitSize + 7) / 8 }

// Algorithms returns the algorithms with which Watchword signs, the default first.
func Algorithms() []Algorithm { return []Algorithm{ES256, RS256, PS256, EdDSA} }

// ClientAlgorithms returns the algorithms for assertions and proofs of clients, without RS256 (FAPI 2.0, section 5.4).
func ClientAlgorithms() []Algorithm { return []Algorithm{ES256, PS256, EdDSA} }

// PlatformAlgorithms returns the algorithms for tokens of platforms, which this package verifies and never makes.
func PlatformAlgorithms() []Algorithm {
	return []Algorithm{ES256, RS256, PS256, EdDSA, ES384, ES512, RS384, RS512, PS384, PS512}
}

// ParseAlgorithm returns the one of Algorithms with this name, in its exact case.
func ParseAlgorithm(s string) (Algorithm, error) { return parseAlgorithm(s, Algorithms()) }

// ParsePlatformAlgorithm returns the one of PlatformAlgorithms with this name, in its exact case.
func ParsePlatformAlgorithm(s string) (Algorithm, error) {
	return parseAlgorithm(s, PlatformAlgorithms())
}

func parseAlgorithm(s string, among []Algorithm) (Algorithm, error) {
	if s == "Ed25519" {
		return EdDSA, nil
	}
	if slices.Contains(among, Algorithm(s)) {
		return Algorithm(s), nil
	}
	return "", fmt.Errorf("%w: use one of %s", ErrAlgorithm, List(among))
}

// List returns algorithms as a list for a sentence.
func List(algorithms []Algorithm) string {
	names := make([]string, len(algorithms))
	for i, a := range algorithms {
		names[i] = string(a)
	}
	return strings.Join(names, ", ")
}

// The sizes of RSA moduli in bits. Smaller ones are insecure (RFC 7518, section 3.3). Verifying a signature of a larger
// one takes four times as long for twice the bits, at the choice of whoever presents the key, and go-jose reads none.
const (
	minRSABits = 2048
	maxRSABits = 4096
	newRSABits = 3072 // 128 bits of security: NIST SP 800-57 part 1, table 2
)

// maxRSAExponent bounds RSA exponents. Common ones are 65537 and 3. The time to verify a signature grows with the
// exponent: with the largest that crypto/rsa takes, it is more than three times that with 65537.
const maxRSAExponent = 1 << 17

// GenerateKey returns a new private key for alg.
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
