package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"

	josev4 "github.com/go-jose/go-jose/v4"

	"github.com/watchword-dev/watchword/internal/strictjson"
)

// PublicKey is a key that verifies signatures with one algorithm (RFC 8725, section 3.1).
type PublicKey struct {
	ID        string
	Algorithm Algorithm
	Key       crypto.PublicKey // *ecdsa.PublicKey, *rsa.PublicKey or ed25519.PublicKey
}

// Thumbprint returns the RFC 7638 SHA-256 thumbprint of pub in base64url. Watchword's key ids are thumbprints.
func Thumbprint(pub crypto.PublicKey) (string, error) {
	input, err := thumbprintInput(pub)
	if err != nil {
		return "", fmt.Errorf("thumbprint: %w", err)
	}
	sum := sha256.Sum256(input)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// JWK returns the key as a JSON Web Key for signatures.
func (k PublicKey) JWK() ([]byte, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	return josev4.JSONWebKey{Key: k.Key, KeyID: k.ID, Algorithm: string(k.Algorithm), Use: "sig"}.MarshalJSON()
}

// check returns an error if the key may not verify signatures with its algorithm.
func (k PublicKey) check() error {
	if err := k.fits(); err != nil {
		return err
	}
	if pub, ok := k.Key.(*rsa.PublicKey); ok {
		return CheckRSA(pub)
	}
	return nil
}

// fits returns an error if the key is not of the type of its algorithm.
func (k PublicKey) fits() error {
	switch pub := k.Key.(type) {
	case *ecdsa.PublicKey:
		// Go's verifier and the readers of keys check that the point is on the curve.
		if m := methods[k.Algorithm]; m.curve == nil || pub == nil || pub.Curve != m.curve {
			return fmt.Errorf("%w: %s with an elliptic curve key", ErrAlgorithm, k.Algorithm)
		}
	case *rsa.PublicKey:
		if m, ok := methods[k.Algorithm]; !ok || m.curve != nil || pub == nil || pub.N == nil {
			return fmt.Errorf("%w: %s with an RSA key", ErrAlgorithm, k.Algorithm)
		}
	case ed25519.PublicKey:
		if k.Algorithm != EdDSA || len(pub) != ed25519.PublicKeySize {
			return fmt.Errorf("%w: %s with an Ed25519 key", ErrAlgorithm, k.Algorithm)
		}
	default:
		return fmt.Errorf("%w: keys of type %T are not supported", ErrAlgorithm, k.Key)
	}
	return nil
}

// CheckRSA returns an error that wraps ErrWeakKey if the key is too short, longer than 4096 bits, has an exponent above
// 2^17, or is known to be insecure. The error contains no part of the modulus.
func CheckRSA(pub *rsa.PublicKey) error {
	if err := checkRSABits(pub.N.BitLen()); err != nil {
		return err
	}
	switch {
	case pub.N.Bit(0) == 0:
		return fmt.Errorf("%w: even RSA modulus", ErrWeakKey)
	case pub.E < 3 || pub.E%2 == 0 || pub.E > maxRSAExponent:
		return fmt.Errorf("%w: RSA exponent %d", ErrWeakKey, pub.E)
	case rocaFingerprint(pub.N):
		return fmt.Errorf("%w: RSA key with the ROCA weakness, CVE-2017-15361", ErrWeakKey)
	}
	return nil
}

func checkRSABits(bits int) error {
	if bits < minRSABits || bits > maxRSABits {
		return fmt.Errorf("%w: RSA modulus of %d bits, want %d to %d", ErrWeakKey, bits, minRSABits, maxRSABits)
	}
	return nil
}

// jwk has the members of a JSON Web Key that determine whether it may be used, and those of public keys.
type jwk struct {
	KeyType    text     `json:"kty"`
	Use        text     `json:"use"`
	Operations []string `json:"key_ops"`
	Algorithm  text     `json:"alg"`
	ID         text     `json:"kid"`
	Curve      text     `json:"crv"`
	X          text     `json:"x"`
	Y          text     `json:"y"`
	N          text     `json:"n"`
	E          text     `json:"e"`

	// Private members (RFC 7518, sections 6.2.2, 6.3.2 and 6.4.1).
	D     presence `json:"d"`
	P     presence `json:"p"`
	Q     presence `json:"q"`
	DP    presence `json:"dp"`
	DQ    presence `json:"dq"`
	QI    presence `json:"qi"`
	Other presence `json:"oth"`
	K     presence `json:"k"`
}

// ParseJWK reads a public key for signatures. It refuses private and symmetric keys, keys for encryption,
// algorithms that do not match the type of the key, and weak keys. An RSA key without alg is for RS256, with which
// issuers that omit alg sign.
func ParseJWK(b []byte) (PublicKey, error) {
	m, err := readJWK(b)
	if err != nil {
		return PublicKey{}, err
	}
	return m.publicKey(RS256)
}

func readJWK(b []byte) (*jwk, error) {
	var m jwk
	if err := strictjson.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("%w JWK: %w", ErrMalformed, err)
	}
	return &m, nil
}

// publicKey returns the key, if it may be used. An RSA key without alg is for algorithmOfRSA.
func (m *jwk) publicKey(algorithmOfRSA Algorithm) (PublicKey, error) {
	if m.Use.set && m.Use.s != "sig" {
		return PublicKey{}, errNotForSignatures
	}
	if err := m.verifies(); err != nil {
		return PublicKey{}, err
	}
	alg, err := m.algorithm(algorithmOfRSA)
	if err != nil {
		return PublicKey{}, err
	}
	key, err := m.key()
	if err != nil {
		return PublicKey{}, err
	}
	k := PublicKey{ID: m.ID.s, Algorithm: alg, Key: key}
	if err := k.check(); err != nil {
		return PublicKey{}, err
	}
	return k, nil
}

var errNotForSignatures = fmt.Errorf("%w JWK: not for verifying signatures", ErrMalformed)

// verifies returns an error if the key has private members, or operations without that of verifying signatures.
func (m *jwk) verifies() error {
	if m.D || m.P || m.Q || m.DP || m.DQ || m.QI || m.K || m.Other {
		return fmt.Errorf("%w JWK: has private members", ErrMalformed)
	}
	if m.Operations != nil && !slices.Contains(m.Operations, "verify") {
		return errNotForSignatures
	}
	return nil
}

func (m *jwk) algorithm(ofRSA Algorithm) (Algorithm, error) {
	if m.Algorithm.set {
		return ParseAlgorithm(m.Algorithm.s)
	}
	switch m.KeyType.s {
	case "EC":
		return ES256, nil
	case "OKP":
		return EdDSA, nil
	case "RSA":
		return ofRSA, nil
	}
	return "", fmt.Errorf("%w: key type not supported", ErrAlgorithm)
}

// key reads keys on curves itself. For other keys, it passes only the members of the key to go-jose, which would also
// parse certificates that are not used here.
func (m *jwk) key() (crypto.PublicKey, error) {
	if m.KeyType.s == "EC" {
		for _, curve := range []elliptic.Curve{elliptic.P256(), elliptic.P384(), elliptic.P521()} {
			if curve.Params().Name == m.Curve.s {
				return curveKey(curve, m.X.s, m.Y.s)
			}
		}
	}
	members := map[string]string{"kty": m.KeyType.s}
	for name, t := range map[string]text{"crv": m.Curve, "x": m.X, "y": m.Y, "n": m.N, "e": m.E} {
		if !t.set {
			continue
		}
		if name != "crv" {
			b, err := decode("JWK: "+name, t.s)
			if err != nil {
				return nil, err
			}
			if name == "n" { // first, since go-jose's error for it is one for malformed keys
				if err := checkRSABits(new(big.Int).SetBytes(b).BitLen()); err != nil {
					return nil, err
				}
			}
		}
		members[name] = t.s
	}
	b, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("read JWK: %w", err)
	}
	var k josev4.JSONWebKey
	if err := k.UnmarshalJSON(b); err != nil {
		return nil, fmt.Errorf("%w JWK: %w", ErrMalformed, err)
	}
	if !k.Valid() || !k.IsPublic() {
		return nil, fmt.Errorf("%w JWK: not a valid public key", ErrMalformed)
	}
	return k.Key, nil
}
